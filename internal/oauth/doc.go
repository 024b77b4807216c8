// Package oauth is the vocabulary of the protocol: error codes and reasons, the one Error, the reader of request bodies,
// the writer of JSON and of JWTs, and the adaptor through which every handler answers.
//
// A handler returns its refusal; Pages.Serve writes it. So the status follows from the code in one table, the
// description stays inside the RFC's character set in one place, and nothing that was not meant for the public (the
// Cause) can reach a response.
//
// Every refusal has a Reason, finer than the RFC's code and stable. The same word stands in the response's error_uri, in
// the log record and in the metric, and Reasons generates the page behind the error_uri. At the resources of FDX, whose
// errors have other members, it is the code.
//
// What a client is told by way of a browser, a refusal too, goes through Return.Answer: in plain parameters, or as one JWT.
//
// How much a description may say (the rule of the house): before a client is proven, only what the request, the public
// metadata and the clock say. Whatever depends on our records is uniform in text until the signature has verified.
package oauth
