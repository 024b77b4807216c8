// Package flow is a FAPI 2.0 client that drives an authorization server from outside: it stands behind the command
// `authserver try` and behind the end-to-end tests.
//
// It imports no other room of this project and signs with the standard library alone. A client that shared code with
// the server would agree with the server's mistakes; this one can only agree with the RFCs. Only the HTML of pages is
// parsed with a library.
//
// The pieces, smallest first:
//
//	Key         a private key, the algorithm it signs with, its JWK and its thumbprint
//	Certificate a client certificate with its key, its thumbprint, and its names as a client registers them
//	Draft       a JWT before it is signed; Edits bend any header member, claim, key or algorithm of it
//	Request     one HTTP request as plain data; the assertion and the proof are signed when it is sent
//	Exchange    what went out and what came back, with every JWT on the way decoded
//	Server      the authorization server as seen from outside: metadata, one nonce per origin
//	Client      credentials at a Server; builds Requests and reads their answers
//	Recipient   the private keys that answers to a Client are encrypted for
//	Details     which data a request asks a person for, or what the person granted of it
//	Browser     a person's browser without JavaScript: cookies, Pages, Forms
//	Report      the numbered Steps of a flow with their Exchanges and Checks
//	Story       a flow by its name, and when a server offers it
//
// A bad request is made from a good one: build it, change what should be wrong, send it.
//
//	request := client.TokenRequest(url.Values{"scope": {"client.read"}})
//	request.Assertion = client.Assertion(flow.SetClaim("aud", "https://elsewhere.example"))
//	exchange, err := server.Do(ctx, request)
//
// A page is played the same way, at once or step by step, and its forms can be bent:
//
//	pushed, err := client.Push(ctx, pair.Parameters(redirectURI, scope, state))
//	page, err := browser.Visit(ctx, client.AuthorizeURL(pushed.RequestURI))
//	page, err = browser.SignIn(ctx, "alex", "alex-demo")
//	form := page.Form("accounts")
//	form.Fields.Del("form_token")
//	page, err = browser.Submit(ctx, form)
//
// Refused on purpose: redirects on API endpoints are not followed, a browser follows 303 alone and never to another
// origin, a nonce is retried once and never again, and nothing here knows how a report is shown.
package flow
