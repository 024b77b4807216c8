// Package page is what a person sees: login, accounts, consent, connected apps, the way back to the client, sign out, signed
// out and failure, in English, Spanish and French, in the colours and under the name of the bank.
//
// One file for each page stands in templates, one catalogue for each language in texts, and the look of all in style.css.
// Nothing here needs JavaScript, and one page has any: the answer that goes to the client by a form sends itself. Names of
// clients, people and accounts are hostile text: they meet only html/template's own escaping, never a template.HTML, and
// stand in <bdi> elements, so that they cannot turn the words around them. Only the redirect URI of that form, which was
// checked when it was registered, is written by Answer.Action.
//
// The ids and values that browsers send back, and that tests and password managers hold on to, are the same in every
// language: the inputs username, password and accounts, the buttons submit, approve, deny, continue and sign-out, and on the
// page of connected apps sharing-0, history-0 and stop-0, numbered from the newest on.
//
// A person reads data clusters, not scopes: each cluster has a label, and a sentence that says exactly what it includes. The
// sentence of a cluster with several scopes is about the first; what another one adds, such as making transfers, is said
// beside it.
package page
