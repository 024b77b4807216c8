// Package authorize is where a person answers a pushed request, and where what was allowed is looked at and stopped: the
// authorization endpoint, and the pages behind it.
//
//	GET  /oauth2/authorize   client_id and request_uri, nothing else; opens the interaction of this browser, or resumes it
//	GET  /login              who are you?            POST /login/attempt      (or away to the upstream, GET /login/callback)
//	GET  /accounts           which accounts?         POST /accounts/choice
//	GET  /consent            may they?               POST /consent/decision   → 303 to the client, with a code or a refusal
//	GET  /connected          what have I allowed?    POST /connected/stop     (POST /connected/attempt: who are you?)
//	GET  /oauth2/logout      an app says so: really? POST /sign-out          → 303 to the client, or GET /signed-out
//
// What comes next is decided in one place, goOn, from the interaction and the session; every page but the one whose turn it
// is sends the browser on. So the back button, a reload, and a page that somebody else left open all end where they should.
//
// What a person is asked is an offer: the details of the request about the accounts that were chosen, and the scopes that
// open them. Somebody who has no account to choose is asked for the rest; where there is none, or none but to sign in, the
// client is told so.
//
// Where the client means one person, whoever else is signed in is asked to sign in, and the client is told login_required
// when somebody else does; nothing is ever answered for anybody else.
//
// To their connected apps people come of their own accord, so there is no interaction: who is not signed in does that there,
// by a secret of the browser's own, which also binds the way back from an upstream. Login, session and form tokens are those
// of the other pages, which is why this page lives here and not beside the consents API.
//
// A browser is known by two cookies. Its interaction, one for each request, is named after the request, so that several
// tabs, and several requests, live side by side; the page's URL says only which cookie to read. Its session says who is
// signed in, and is a new one after each login. A form token binds each form to session, interaction, person and page.
//
// An answer goes back in the mode that was pushed: in plain parameters, or as one JWT, signed and encrypted as the client
// registered (JARM), in the query or by a form that sends itself. What it takes to make that is found before the answer is
// kept. Where the client has no key any more the person is told, the request stays open, and nothing is said in the open.
//
// An app may send people here to sign out (OpenID Connect RP-Initiated Logout 1.0). They are always asked, and go where the
// app registered by the press of a button alone, also when nobody is signed in: a redirect that needs none would be the first
// half of anybody's link to elsewhere. What is wrong with such a request keeps nobody from signing out,
// and whose app means another session than the one that is here is told so (sid): only this one can be ended.
//
// A refusal goes to the client only when the redirect URI comes from a request that was pushed, and is registered still.
// Until then, and for everything that is wrong with the browser itself, it is a page. The answer is given once: whoever
// comes second is told that it was.
package authorize
