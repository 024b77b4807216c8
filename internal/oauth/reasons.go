package oauth

import "net/http"

// Explanation is what the page of a Reason says.
type Explanation struct {
	Reason  Reason
	Code    Code
	Status  int    // zero: the status of the code
	Meaning string // what happened
	Remedy  string // what the client's developer does about it
}

// Explain finds the explanation of r; ok is false for a word that is no reason of this server.
func Explain(r Reason) (e Explanation, ok bool) {
	for _, e := range reasons {
		if e.Reason == r {
			return e, true
		}
	}
	return Explanation{}, false
}

// Reasons are all explanations, in the order in which a request meets them.
func Reasons() []Explanation { return append([]Explanation(nil), reasons...) }

var reasons = []Explanation{
	{MethodNotAllowed, InvalidRequest, http.StatusMethodNotAllowed, "The endpoint does not answer this HTTP method.", "Use a method of the Allow header."},
	{NoSuchEndpoint, InvalidRequest, http.StatusNotFound, "No endpoint has this path. Paths are compared exactly: case, slashes and percent-encoding count.", "Take every endpoint from the metadata document."},
	{HeaderRepeated, InvalidRequest, 0, "A header that may stand once was sent more than once.", "Send it once. Look for a proxy that adds its own."},
	{BodyTooLarge, InvalidRequest, http.StatusRequestEntityTooLarge, "The request body is longer than this server reads.", "Send less; no request of this protocol needs more."},
	{BodyUnreadable, InvalidRequest, 0, "The request body ended early or arrived too slowly.", "Send the request again over a better connection."},
	{ContentTypeRefused, InvalidRequest, http.StatusUnsupportedMediaType, "The endpoint does not read this content type or content encoding.", "Send application/x-www-form-urlencoded (registration and consents: application/json), not compressed."},
	{BodyMalformed, InvalidRequest, 0, "The body does not follow its content type, or a query is malformed: a bad percent-escape, a semicolon between parameters, bytes that are not UTF-8, a NUL (at the logout endpoint: any control character), or JSON that is not one flat object of strings.", "Encode the parameters with a library's form encoder."},
	{ParametersTooMany, InvalidRequest, 0, "The request holds more parameters than this server reads.", "Send only the parameters of the request."},
	{ParameterRepeated, InvalidRequest, 0, "A parameter was sent more than once (RFC 6749, 3.2).", "Send each parameter once."},
	{ParameterMissing, InvalidRequest, 0, "A required parameter is absent or empty.", "Send the parameter that the description names. Beside a request object it does not count: put it inside."},
	{ParameterInQuery, InvalidRequest, 0, "A parameter of the protocol stood in the request URI, where it ends up in logs.", "Move it into the body."},

	{ClientAuthMissing, InvalidClient, 0, "The request bears no client authentication, and needs it.", "Send client_assertion and client_assertion_type (private_key_jwt); or, where mutual TLS is offered, client_id over a connection with the registered certificate."},
	{ClientAuthAmbiguous, InvalidRequest, 0, "The request uses more than one way of client authentication (RFC 6749, 2.3).", "Use only the registered one."},
	{ClientAuthMethod, InvalidClient, 0, "The request authenticates with a shared secret. This server keeps no client secrets.", "Use private_key_jwt, or a certificate where mutual TLS is offered."},
	{CertificateRefused, InvalidClient, 0, "The client certificate cannot be used: it is not valid at this time, its key is too weak, or the proxy in front of this server forwarded it in a way that cannot be read.", "Connect with a certificate that is valid now, with an RSA key of 2048 bits or more, or one on P-256, P-384, P-521 or Ed25519. What a proxy forwards is for the operator to mend."},
	{CertificateMissing, InvalidRequest, 0, "The request needs a client certificate, and the connection has none: this client is registered for tokens that are bound to its certificate, or this server wants one with every call. A DPoP proof does not stand in for it.", "Connect with the certificate to an endpoint of mtls_endpoint_aliases in the metadata, or to the one that the operator names."},

	{AssertionType, InvalidClient, 0, "client_assertion_type is not the one of JWT assertions.", "Send urn:ietf:params:oauth:client-assertion-type:jwt-bearer."},
	{AssertionMalformed, InvalidClient, 0, "client_assertion is not one compact JWS with a strict JSON payload.", "Send header.payload.signature, each part base64url without padding, no member twice, and no header that changes the meaning of the signature."},
	{AssertionAlg, InvalidClient, 0, "The assertion is signed with an algorithm that this server does not offer.", "Sign with PS256, ES256 or EdDSA."},
	{AssertionTyp, InvalidClient, 0, "The assertion's typ header names another kind of JWT, or it holds response_type, as a request object does (RFC 9101, 10.8).", "Leave typ out, or send JWT or client-authentication+jwt; and sign an assertion of its own for every request."},
	{AssertionSubject, InvalidClient, 0, "iss and sub are not both the client_id.", "Set iss and sub to the client_id, as strings."},
	{AssertionClientID, InvalidClient, 0, "The client_id parameter is not the assertion's sub.", "Send the same client_id in both places, or leave the parameter out."},
	{AssertionAudience, InvalidClient, 0, "aud is not the issuer (FAPI 2.0 Security Profile, 5.3.2.1).", "Set aud to the issuer of the metadata document, as one string, byte by byte; not an endpoint's URL, not an array."},
	{AssertionLifetime, InvalidClient, 0, "exp is missing, is no number, or lies too far ahead.", "Set exp to a number of seconds since 1970, a minute or two ahead."},
	{AssertionExpired, InvalidClient, 0, "The assertion's exp has passed.", "Make a new assertion for each request, and compare your clock with the Date header."},
	{AssertionNotYet, InvalidClient, 0, "The assertion's iat or nbf lies in the future.", "Compare your clock with the Date header."},
	{AssertionID, InvalidClient, 0, "jti is missing, empty, or no string.", "Give every assertion a jti of its own, at least 128 random bits."},
	{ClientNotProven, InvalidClient, 0, "The assertion or certificate does not prove a registered client: the client may be unknown, deleted or registered for another method or algorithm; the kid may not be in its key set, or the signature may not verify; the certificate may have another subject, not be one of its key set's x5c, or come from an authority that this server does not trust. Which of these it was is not said before a client is proven; the operator's log has it under the interaction id.", "Check client_id, the kid, that the private key belongs to the registered jwks or jwks_uri, and the registered token_endpoint_auth_signing_alg."},
	{AssertionReplayed, InvalidClient, 0, "This assertion, or one with its jti, was used before.", "Make a new assertion with a new jti for each request. Only the retry after use_dpop_nonce may send the same one again."},

	{GrantTypeUnsupported, UnsupportedGrantType, 0, "This server does not offer the grant type.", "Use one of grant_types_supported in the metadata."},
	{GrantTypeNotRegistered, UnauthorizedClient, 0, "The client is not registered for this grant type.", "Register it: PUT the client's metadata with the grant type in grant_types."},
	{ScopeMalformed, InvalidScope, 0, "scope is not a list of scope tokens, each separated by one space (RFC 6749, 3.3), or is too long.", "Send the scope tokens with single spaces between."},
	{ScopeNotRegistered, InvalidScope, 0, "The client is not registered for a scope that it asks for.", "Ask for registered scopes, or register the scope first."},
	{ScopeEmpty, InvalidScope, 0, "Nothing is left to grant: the client has no scope that this grant type can give.", "Register a scope for the client."},
	{ResourceRefused, InvalidTarget, 0, "resource is no absolute URI without a fragment, not a resource that this server issues tokens for, or not one that the person granted (RFC 8707).", "Send a resource that the operator names, within those of the pushed request, or leave it out."},
	{EncryptionKeyMissing, InvalidRequest, 0, "The client registered that answers are encrypted for it, and its jwks or jwks_uri has no public key for that, or no key set could be had from the jwks_uri. Nothing is sent unencrypted; a code is as good as before.", "Publish a key of the kty that the description names, with use enc or none and with the registered alg or none; or register without encryption."},

	{RequestURINested, InvalidRequest, 0, "A pushed request bears a request_uri (RFC 9126, 2.1).", "Push the parameters themselves; request_uri is what you get back."},
	{RequestObjectMissing, InvalidRequest, 0, "The client is registered to sign its authorization requests, and this one is not signed.", "Send a signed request object, or register the client without require_signed_request_object."},
	{RequestObjectMalformed, InvalidRequestObject, 0, "request is not one compact JWS with a strict JSON payload (RFC 9101).", "Send header.payload.signature, each part base64url without padding, no member twice, and no header that changes the meaning of the signature."},
	{RequestObjectEncrypted, InvalidRequestObject, 0, "The request object is encrypted. This server takes signed ones; TLS keeps them from others.", "Send the signed object itself, even if request_object_encryption_alg is registered."},
	{RequestObjectAlg, InvalidRequestObject, 0, "The request object is not signed, or with an algorithm that this server does not offer.", "Sign with one of request_object_signing_alg_values_supported: the registered request_object_signing_alg, if there is one."},
	{RequestObjectTyp, InvalidRequestObject, 0, "The request object's typ header names another kind of JWT.", "Leave typ out, or send oauth-authz-req+jwt or JWT."},
	{RequestObjectSignature, InvalidRequestObject, 0, "No registered key of the client made the request object's signature with the registered algorithm.", "Check kid, the registered keys (jwks, or what jwks_uri gives) and request_object_signing_alg."},
	{RequestObjectNested, InvalidRequestObject, 0, "The request object holds request or request_uri (RFC 9101, 4).", "Put the parameters themselves into the object."},
	{RequestObjectClient, InvalidRequestObject, 0, "The request object's client_id is missing or not the client's, its iss is another's, or its sub is no string, or the client, as if it were a client assertion (RFC 9101, 10.8).", "Set client_id, and iss if you send it, to the client_id; leave sub out."},
	{RequestObjectAudience, InvalidRequestObject, 0, "The request object's aud is not the issuer (FAPI 2.0 Message Signing, 5.3.1).", "Set aud to the issuer of the metadata document, byte by byte, or to an array that holds it."},
	{RequestObjectLifetime, InvalidRequestObject, 0, "The request object's exp or nbf is missing, no number, or the object lives for more than an hour. nbf may be missing only where the client is not registered with require_signed_request_object.", "Send nbf, the time of the request, and exp, a few minutes later, as seconds since 1970."},
	{RequestObjectExpired, InvalidRequestObject, 0, "The request object's exp has passed.", "Sign each request anew, and compare your clock with the Date header."},
	{RequestObjectNotYet, InvalidRequestObject, 0, "The request object's nbf or iat lies in the future.", "Compare your clock with the Date header."},
	{RequestObjectMember, InvalidRequestObject, 0, "A parameter in the request object has another JSON type than RFC 9101 gives it.", "Send max_age as a number, authorization_details as an array, claims as an object, resource as a string or an array of strings, and every other parameter as a string."},
	{DetailsMalformed, InvalidAuthorizationDetails, 0, "authorization_details is no strict JSON array of objects, has none, or is too long (RFC 9396, 2).", "Send one JSON array of at least one object, no member twice, or leave the parameter out; the description says what is wrong."},
	{DetailsType, InvalidAuthorizationDetails, 0, "An element of authorization_details has no type, or one that this server does not know or that the client is not registered for.", "Send a type of authorization_details_types_supported in the metadata, and of the registered authorization_details_types."},
	{DetailsMember, InvalidAuthorizationDetails, 0, "A member of authorization_details is missing, or unknown, or has a value that cannot be granted.", "Look for the member by the path in the description, and send what is expected there."},
	{DetailsContradict, InvalidAuthorizationDetails, 0, "Two elements of authorization_details ask for consents that do not last, or look back, equally long. What a person grants at once is one consent, which ends at once.", "Give them the same durationType, durationPeriod and lookbackPeriod, or push two requests."},
	{DetailsNotRegistered, InvalidAuthorizationDetails, 0, "The consent would last longer, or look back further, than the client is registered to ask for.", "Ask for less, or register another duration_type, duration_period or lookback_period."},
	{DetailsBeyondGrant, InvalidAuthorizationDetails, 0, "authorization_details of a token request goes beyond what the person granted (RFC 9396, 6.1).", "Send some of the details that came back with the first token, or leave the parameter out."},
	{ClusterWithoutScope, InvalidScope, 0, "authorization_details asks for a data cluster, and scope for none of the scopes that open it (FDX).", "Ask for the scope that the description names as well, or leave the data cluster out."},
	{ResponseTypeUnsupported, UnsupportedResponseType, 0, "response_type is not code (FAPI 2.0 Security Profile, 5.3.2.2).", "Send response_type=code."},
	{ResponseModeUnsupported, InvalidRequest, 0, "response_mode is not one that this server answers with.", "Leave it out, or send one of response_modes_supported."},
	{ResponseModeRefused, InvalidRequest, 0, "The client is registered for other response modes. Without response_mode a request asks for query.", "Send one of the registered response_modes, or register this one."},
	{RedirectURIUnknown, InvalidRequest, 0, "redirect_uri is not registered. It is compared character by character: case, slashes, port and query count.", "Send a registered redirect_uri, or register this one."},
	{ChallengeRefused, InvalidRequest, 0, "The PKCE challenge is missing, malformed, or not of the method S256 (RFC 7636).", "Send code_challenge = BASE64URL(SHA256(code_verifier)) and code_challenge_method=S256."},
	{KeyThumbprint, InvalidRequest, 0, "dpop_jkt is no thumbprint, or not that of the DPoP proof beside it (RFC 9449, 10.1); or the client is registered for tokens that are bound to its certificate, and a code that is bound to another key would be no use to it.", "Send the RFC 7638 SHA-256 thumbprint of the key that will redeem the code, or leave dpop_jkt out and send a proof."},
	{PromptRefused, InvalidRequest, 0, "prompt holds an unknown word, or none beside another (OpenID Connect Core, 3.1.2.1).", "Send none alone, or some of login, consent, select_account."},
	{MaxAgeRefused, InvalidRequest, 0, "max_age is no whole number of seconds, or more than ten years.", "Send a number such as 300."},
	{ClaimsRefused, InvalidRequest, 0, "claims is no strict JSON object (OpenID Connect Core, 5.5), or what it demands of acr or sub cannot be met by anybody.", "Send one JSON object, no member twice; the description says what is wrong."},
	{HintRefused, InvalidRequest, 0, "id_token_hint is no ID token that this server signed for this client, or its signing key is no longer published.", "Send the last ID token that this client received, decrypted where it is encrypted; or leave it out: login_hint may carry a username."},
	{ParameterTooLong, InvalidRequest, 0, "A parameter is longer than this server keeps. Nothing is ever cut.", "Send less; the description names the limit."},

	{RequestURIUnknown, InvalidRequestURI, 0, "The browser came to the authorization endpoint with a request_uri that this client did not push here, or that is long forgotten.", "Push the request first (RFC 9126), and send the browser to authorization_endpoint with client_id and the request_uri as it came back."},
	{RequestURIExpired, InvalidRequestURI, 0, "The browser came after expires_in of the pushed request.", "Push the request when the person is about to leave for this server, not before."},
	{RequestAnswered, InvalidRequestURI, 0, "The person has already answered this request: a request_uri is good for one answer.", "Push a new request."},
	{RequestCrowded, InvalidRequestURI, 0, "More browsers have opened this request than one person has.", "Push a new request, and keep its request_uri out of places that everybody reads."},
	{ClientChanged, InvalidRequest, 0, "Since the request was pushed, its client was deleted or gave up its redirect_uri. Nothing is sent there.", "Push a new request with a registered redirect_uri."},
	{InteractionUnknown, InvalidRequest, 0, "This browser has no part in the request that the page belongs to: its cookie is missing, or the answer was given elsewhere.", "Begin again at the application that sent you here, with cookies allowed."},
	{InteractionExpired, InvalidRequest, 0, "Too much time went by on the pages of this request.", "Begin again at the application that sent you here."},
	{FormRefused, InvalidRequest, http.StatusForbidden, "The form was not made for this browser, this person and this page, or it was changed.", "Load the page again and send its form."},
	{FormField, InvalidRequest, 0, "The form has a field that the page does not have, or a value that it did not offer.", "Send the page's own form."},
	{CrossSite, InvalidRequest, http.StatusForbidden, "Another site sent this form.", "Send the form from this server's own page."},
	{PersonChanged, InvalidRequest, http.StatusForbidden, "Somebody else has signed in in this browser since the page was made.", "Load the page again."},
	{PersonDisabled, AccessDenied, 0, "The operator has disabled the person who signs in or answers, or the password was changed while it was checked.", "Begin again if the password is a new one; otherwise ask the operator."},
	{LoginRefused, AccessDenied, http.StatusUnauthorized, "The username or the password is wrong. Which one is not said.", "Try again."},
	{UpstreamRefused, AccessDenied, 0, "The login service that this server relies on did not prove who the person is.", "Try again; the operator finds the cause in the log."},
	{AccountsUnavailable, TemporarilyUnavailable, 0, "The bank's system that knows which accounts a person has did not answer, or not as it must. Nothing was shared, and the request is still open.", "Load the page again; the operator finds the cause in the log."},
	{LoginNeeded, LoginRequired, 0, "prompt=none was asked for, and nobody is signed in whom the client means (or not recently enough); or somebody else signed in than id_token_hint or claims names.", "Send the person without prompt=none; begin anew without id_token_hint if it may be somebody else."},
	{ConsentNeeded, ConsentRequired, 0, "prompt=none was asked for, and the person has to say yes: every grant of this server is asked for.", "Send the person without prompt=none."},
	{AuthenticationTooWeak, UnmetAuthentication, 0, "The person did not sign in, or cannot, in one of the ways that are asked for: by acr_values, by an essential claim acr, or, where neither is sent, by the registered default_acr_values.", "Ask for one of acr_values_supported there, or for none; the description names what asked."},
	{PersonDenied, AccessDenied, 0, "The person said no.", "Respect it."},
	{NothingToShare, AccessDenied, 0, "The request is about accounts, and the person has none that can be shared.", "Send somebody who has; or ask for data of the customer (resourceType CUSTOMER) too."},
	{LogoutURIUnknown, InvalidRequest, 0, "post_logout_redirect_uri is not registered for the client of id_token_hint or client_id, or there is no such client. It is compared character by character.", "Register it in post_logout_redirect_uris, and send the client_id or an ID token of that client."},

	{CodeUnknown, InvalidGrant, 0, "The code is not one of this client's, or it has been ended: by five wrong tries, or because its grant was withdrawn.", "Send the code as it came in the redirect, once, at most 60 seconds later."},
	{CodeExpired, InvalidGrant, 0, "The code is older than 60 seconds.", "Redeem the code as soon as it arrives."},
	{CodeReplayed, InvalidGrant, 0, "The code was redeemed before. All tokens that came of it have been revoked, since somebody else may hold them (RFC 6749, 4.1.2).", "Redeem a code once; after a lost response begin again."},
	{CodeVerifier, InvalidGrant, 0, "code_verifier is missing, malformed, or not the one of the pushed code_challenge (RFC 7636, 4.6). The code is still good, unless this was the fifth wrong try.", "Send the verifier that the challenge was made from."},
	{CodeRedirectURI, InvalidGrant, 0, "redirect_uri is missing, not the one of the pushed request, or no longer registered. The code is still good, unless this was the fifth wrong try.", "Send the redirect_uri of the pushed request, character by character."},
	{CodeKey, InvalidGrant, 0, "The proof's key is not the one that the pushed request named by its proof or dpop_jkt (RFC 9449, 10). The code is still good, unless this was the fifth wrong try.", "Sign the proof with the key of the pushed request."},
	{RefreshTokenUnknown, InvalidGrant, 0, "The refresh token is not one of this client's, or its grant has ended: it was withdrawn, its time is over, or the person may no longer sign in.", "Ask the person again."},
	{GrantEnded, InvalidGrant, 0, "The client is registered for no scope any more of what the person granted, or the grant ends this very second.", "Register the scopes again, or ask the person again."},
	{GrantScope, InvalidScope, 0, "The request asks for more than the person granted, or than is still registered.", "Ask for less, or leave scope out."},

	{AssertionGrantMalformed, InvalidGrant, 0, "assertion is not one compact JWS with a strict JSON payload (RFC 7523, 2.1).", "Send header.payload.signature, each part base64url without padding, no member twice, and no header that changes the meaning of the signature."},
	{AssertionGrantAlg, InvalidGrant, 0, "The assertion is signed with an algorithm that this server does not offer. Shared secrets sign nothing here.", "Sign with ES256, or what else the operator registered for the issuer."},
	{AssertionGrantTyp, InvalidGrant, 0, "The assertion's typ header names another kind of JWT.", "Leave typ out, or send JWT."},
	{AssertionGrantKid, InvalidGrant, 0, "The assertion's header has no kid.", "Name the key that signed it in kid, as it was given to the operator."},
	{AssertionGrantParties, InvalidGrant, 0, "iss or sub is missing, empty, too long, or no string.", "Set iss to the issuer's name and sub to whom the assertion speaks for, as they were agreed with the operator."},
	{AssertionGrantLifetime, InvalidGrant, 0, "exp is missing, is no number, or lies further ahead than is taken from this issuer: 15 minutes at most.", "Set exp to a number of seconds since 1970, a few minutes ahead."},
	{AssertionGrantExpired, InvalidGrant, 0, "The assertion's exp has passed.", "Make a new assertion for each request, and compare your clock with the Date header."},
	{AssertionGrantNotYet, InvalidGrant, 0, "The assertion's iat or nbf lies in the future.", "Compare your clock with the Date header."},
	{AssertionGrantID, InvalidGrant, 0, "jti is empty, too long, or no string; or it is missing, and this issuer's assertions must have one.", "Give every assertion a jti of its own, at least 128 random bits."},
	{AssertionGrantNotProven, InvalidGrant, 0, "The assertion does not prove an issuer that this server trusts: the issuer may be unknown or removed, its kid may not be in the issuer's key set, the algorithm may not be one of the issuer's, or the signature may not verify. Which of these it was is not said; the operator's log has it under the interaction id.", "Check iss and kid, and that the private key belongs to the public one that the operator has."},
	{AssertionGrantAudience, InvalidGrant, 0, "aud does not name this server as it was agreed with the issuer.", "Set aud to a value that the description names, or to an array with one of them."},
	{AssertionGrantSubject, InvalidGrant, 0, "This issuer may not speak for the sub of the assertion; or sub or iss is also the id of a client, who is nobody else's to speak for.", "Set sub to what was agreed with the operator."},
	{AssertionGrantClient, InvalidGrant, 0, "The client may not redeem assertions of this issuer, or the client that stands for the issuer is not registered any more.", "Ask the operator which client goes with the issuer."},
	{AssertionGrantReplayed, InvalidGrant, 0, "This assertion, or one with its jti, was used before.", "Make a new assertion for each request. Only the retry after use_dpop_nonce may send the same one again."},

	{ProofMissing, InvalidRequest, 0, "The request needs a DPoP proof: this client gets only tokens that are bound to a key.", "Send a DPoP header with a proof for this endpoint (RFC 9449). Where mutual TLS is offered, a client certificate will do too, unless the client is registered with dpop_bound_access_tokens."},
	{ProofRepeated, InvalidDPoPProof, 0, "The request has more than one DPoP header.", "Send exactly one."},
	{ProofMalformed, InvalidDPoPProof, 0, "The DPoP header is not one compact JWS with a strict JSON payload.", "Send header.payload.signature, each part base64url without padding."},
	{ProofAlg, InvalidDPoPProof, 0, "The proof is signed with an algorithm that this server does not offer.", "Sign with PS256, ES256 or EdDSA."},
	{ProofTyp, InvalidDPoPProof, 0, "The proof's typ header is not dpop+jwt.", "Set typ to dpop+jwt."},
	{ProofKey, InvalidDPoPProof, 0, "The proof's jwk header is missing, is no public key, or is a key that this server does not take.", "Embed the public P-256, RSA (2048 to 4096 bits) or Ed25519 key, without its private members."},
	{ProofSignature, InvalidDPoPProof, 0, "The proof's signature does not verify with its jwk.", "Sign with the private key that belongs to the embedded public one."},
	{ProofClaims, InvalidDPoPProof, 0, "A claim of the proof is missing or of the wrong type.", "Send jti, htm and htu as strings and iat as a number."},
	{ProofMethod, InvalidDPoPProof, 0, "htm is not the method of the request.", "Set htm to the method, in capitals."},
	{ProofURI, InvalidDPoPProof, 0, "htu is not the URL of the request.", "Set htu to the endpoint's URL as the metadata has it; query and fragment do not count."},
	{ProofStale, InvalidDPoPProof, 0, "iat lies too far in the past or in the future.", "Make a new proof for each request, and compare your clock with the Date header."},
	{ProofExpired, InvalidDPoPProof, 0, "The proof's own exp has passed, or its nbf has not come.", "Make a new proof for each request."},
	{ProofTokenHash, InvalidDPoPProof, 0, "ath is missing or is not the hash of the access token.", "Set ath to the base64url SHA-256 of the access token."},
	{ProofReplayed, InvalidDPoPProof, 0, "This proof, or one of the same key with its jti, was used before.", "Make a new proof with a new jti for each request."},
	{NonceMissing, UseDPoPNonce, 0, "The proof needs a nonce of this server. This is expected on a first request and costs nothing: what came with the proof was not used up.", "Put the value of the DPoP-Nonce header into the proof's nonce claim and send the request again."},
	{NonceUnknown, UseDPoPNonce, 0, "The proof's nonce is too old or is not from this server. What came with the proof was not used up.", "Put the value of the DPoP-Nonce header into the proof's nonce claim and send the request again."},
	{NonceMalformed, InvalidDPoPProof, 0, "The proof's nonce claim is no string.", "Send the value of the DPoP-Nonce header as a string, or leave the claim out."},

	{TokenMissing, InvalidToken, 0, "The request bears no access token.", "Send Authorization: DPoP, followed by the token, and a DPoP proof with its ath; or, for a token that is bound to a client certificate, Authorization: Bearer over a connection with that."},
	{TokenMalformed, InvalidToken, 0, "The Authorization header bears no access token of this server.", "Send the access_token as it came from the token endpoint."},
	{TokenExpired, InvalidToken, 0, "The access token has expired.", "Fetch a new one."},
	{TokenAudience, InvalidToken, 0, "The access token is for another resource.", "Ask for this resource at the token endpoint."},
	{TokenRevoked, InvalidToken, 0, "The access token was revoked, or its client or grant is gone.", "Fetch a new one."},
	{TokenUnbound, InvalidToken, 0, "The access token is bound to no key: the client fetched it without a DPoP proof and without a client certificate. The resources of this server take only bound tokens.", "Fetch a token with a DPoP proof, and send it with the DPoP scheme and a proof."},
	{TokenScheme, InvalidToken, 0, "The access token was sent with another scheme than the one of its token_type: one that is bound to the key of a proof as a bearer token, or one that is bound to a client certificate with DPoP.", "Send it with the scheme that token_type named, and what it is bound to: a proof, or a connection with the certificate."},
	{TokenProofMissing, InvalidToken, 0, "The access token is bound to a key and came without a DPoP proof.", "Send a DPoP header with a proof for this request and the token's ath."},
	{TokenKey, InvalidToken, 0, "The proof's key, or the client certificate of the connection, is not the one that the access token is bound to; or there is no such certificate.", "Sign the proof with the key that fetched the token, or connect with the certificate that fetched it."},
	{ScopeInsufficient, InsufficientScope, 0, "The access token lacks a scope that this request needs.", "Ask for the scope of the challenge at the token endpoint."},

	{RegistrationClosed, AccessDenied, 0, "The operator registers clients by hand.", "Ask the operator."},
	{RegistrationToken, InvalidToken, 0, "The token does not open this registration. Whether the client exists is not said.", "Send the registration_access_token of this client (or, to register, the operator's initial access token) as a Bearer token."},
	{NotARegistrar, InsufficientScope, 0, "The access token's client may not register others.", "Register without a token where that is open, or ask the operator to make this client a registrar."},
	{MetadataMalformed, InvalidClientMetadata, 0, "The body is not one strict JSON object.", "Send one JSON object, no member twice, nothing after it."},
	{MetadataMember, InvalidClientMetadata, 0, "A member of the client's metadata has a value that this server does not take.", "Send what the description expects."},
	{MetadataContradicts, InvalidClientMetadata, 0, "Two members of the client's metadata contradict each other.", "Mend one of the two that the description names."},
	{MetadataServerMember, InvalidClientMetadata, 0, "The body holds a member that only this server sets, or another client's client_id.", "Leave it out of the update (RFC 7592, 2.2)."},
	{MetadataScope, InvalidClientMetadata, 0, "scope names a scope that this server does not know.", "Register scopes of scopes_supported in the metadata."},
	{MetadataKeys, InvalidClientMetadata, 0, "jwks or jwks_uri does not give this server public keys to verify with, or jwks none to encrypt answers with as registered.", "Register either jwks with at least one public signing key, and a public key for each algorithm that answers are encrypted by, or an https jwks_uri on a public host."},
	{SubjectTaken, InvalidClientMetadata, 0, "Another client is registered with the same subject of a certificate, so that one certificate would prove them both.", "Register the subject of a certificate of this client's own; or delete the other client first, if both are yours."},
	{RedirectURIRefused, InvalidRedirectURI, 0, "A redirect URI is not one that this server redirects to.", "Register absolute https URIs without a fragment, user or wildcard."},

	{StatementMalformed, InvalidSoftwareStatement, 0, "software_statement is not one compact JWS signed with an offered algorithm.", "Send the statement as its issuer made it, or leave it out."},
	{StatementNotTrusted, UnapprovedSoftwareStatement, 0, "software_statement comes from an issuer that this server does not trust.", "Leave it out, and register the members that it states yourself."},

	{RevocationRefused, InvalidRequest, 0, "The body that ends a consent is not one strict JSON object, or its reason or initiator is missing or not one that a client can give (FDX). Nothing was ended.", "Send {\"reason\":\"USER_ACTION\",\"initiator\":\"INDIVIDUAL\"}, or what else the description names."},
	{ConsentUnknown, InvalidRequest, http.StatusNotFound, "The access token opens no consent of this id. Whether there is one is not said.", "Send the grant_id or fdxConsentId of your own consent, with a token of that consent or with one that the client fetched in its own name."},
	{ConsentEnded, InvalidRequest, http.StatusConflict, "The consent has ended before: it was revoked, or its time is over. Nothing was changed.", "Do not send it again; read the consent to see how it ended."},

	{RateLimited, TemporarilyUnavailable, http.StatusTooManyRequests, "Too many requests of this kind came from one client or address. Nothing is wrong with this one.", "Come back after the seconds of the Retry-After header."},
	{Unavailable, TemporarilyUnavailable, 0, "The server cannot answer just now. Nothing was granted; the assertion and the proof may have been used up.", "Send the request again after the seconds of the Retry-After header, with a new assertion and a new proof."},
	{Internal, ServerError, 0, "The server failed. This is a fault of ours.", "Report it with the x-fapi-interaction-id of the response."},
}
