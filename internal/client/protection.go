package client

import "authserver/internal/jose"

// Protection is how a client registered that one kind of answer is protected.
type Protection struct {
	Sign jose.Alg // "": it is not signed, and then not encrypted either
	Alg  string   // how its key is told to the client, one of jose.EncryptionAlgs; "": it is not encrypted
	Enc  string   // how it is encrypted, one of jose.EncryptionEncs
}

// IDToken is the protection of ID tokens. They are always signed (OpenID Connect Core §2).
func (c Client) IDToken() Protection {
	m := c.Metadata
	return protection(m.IDTokenSignedResponseAlg, m.IDTokenEncryptedResponseAlg, m.IDTokenEncryptedResponseEnc).signed()
}

// Userinfo is the protection of what userinfo answers.
func (c Client) Userinfo() Protection {
	m := c.Metadata
	return protection(m.UserinfoSignedResponseAlg, m.UserinfoEncryptedResponseAlg, m.UserinfoEncryptedResponseEnc)
}

// Authorization is the protection of an authorization response as a JWT. It is always signed (JARM §2.2).
func (c Client) Authorization() Protection {
	m := c.Metadata
	p := protection(m.AuthorizationSignedResponseAlg, m.AuthorizationEncryptedResponseAlg, m.AuthorizationEncryptedResponseEnc)
	return p.signed()
}

// Introspection is the protection of what introspection answers.
func (c Client) Introspection() Protection {
	m := c.Metadata
	return protection(m.IntrospectionSignedResponseAlg, m.IntrospectionEncryptedResponseAlg, m.IntrospectionEncryptedResponseEnc)
}

// protection signs whatever it encrypts: who can encrypt for a client is anybody who has its public key.
func protection(sign, alg, enc string) Protection {
	p := Protection{Sign: jose.Alg(sign), Alg: alg, Enc: enc}
	if p.Alg != "" {
		return p.signed()
	}
	return p
}

// signed signs with PS256 where the client did not name another algorithm (DCR-09).
func (p Protection) signed() Protection {
	if p.Sign == "" {
		p.Sign = jose.PS256
	}
	return p
}
