package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// protection is how answers of one kind are protected for a client, as its registration has it. What is empty is not done.
type protection struct {
	kind     string // as metadata and registration name it: authorization, id_token or userinfo
	sign     string
	alg, enc string // of the encryption; what is encrypted is signed first
}

// protect chooses, of what the server offers for a kind of answer, the first of these algorithms that it lists.
func (m Metadata) protect(kind string, signs, algs []string) protection {
	first := func(wanted []string, member string) string {
		offered := m.lists(kind + member)
		for _, name := range wanted {
			if slices.Contains(offered, name) {
				return name
			}
		}
		return ""
	}
	p := protection{kind: kind, sign: first(signs, "_signing_alg_values_supported")}
	alg := first(algs, "_encryption_alg_values_supported")
	enc := first(contentEncryptionEncs, "_encryption_enc_values_supported")
	if p.sign != "" && alg != "" && enc != "" {
		p.alg, p.enc = alg, enc
	}
	return p
}

// members are those of a registration that asks for this protection.
func (p protection) members() map[string]string {
	all := map[string]string{}
	for member, value := range map[string]string{"_signed_response_alg": p.sign, "_encrypted_response_alg": p.alg,
		"_encrypted_response_enc": p.enc} {
		if value != "" {
			all[p.kind+member] = value
		}
	}
	return all
}

// open looks at an answer that is one JWT: it is protected as the client registered, by this server, and for this client.
// What it says becomes a part of the step.
func (f *Registrant) open(ctx context.Context, step *Step, name string, p protection, compact string) (JWT, error) {
	if compact == "" {
		return JWT{}, errors.New("there is no " + strings.TrimPrefix(name, "the "))
	}
	signed := name + " is signed with " + p.sign
	if p.alg != "" {
		how := "not encrypted"
		if sealed, err := readJWE(compact); err == nil {
			how = sealed.how()
		}
		step.equal(fmt.Sprintf("%s is encrypted with %s and %s", name, p.alg, p.enc), p.alg+" "+p.enc+" JWT", how)
		signed = "and signed with " + p.sign + " inside"
	}
	token, err := f.client.unseal(compact)
	if err != nil {
		return JWT{}, fmt.Errorf("%s cannot be read: %w", name, err)
	}
	token.Name = p.kind
	step.JWTs = append(step.JWTs, token)
	step.equal(signed, p.sign, token.Member("alg"))
	if err := f.verified(ctx, step, token); err != nil {
		return token, err
	}
	step.equal("iss is the issuer", f.Server.Issuer, token.Claims["iss"])
	step.equal("aud is the client", f.client.ID, sole(token.Claims["aud"]))
	return token, nil
}

// sole is the one value of an array, or a value that is none: aud may be either (RFC 7519 §4.1.3).
func sole(value any) any {
	if several, ok := value.([]any); ok && len(several) == 1 {
		return several[0]
	}
	return value
}

// unseal takes a JWT apart that is encrypted for the client, or that is not. Nothing in it is verified.
func (c *Client) unseal(compact string) (JWT, error) {
	if strings.Count(compact, ".") == 4 && c.Decrypt != nil {
		inside, err := c.Decrypt(compact)
		if err != nil {
			return JWT{}, err
		}
		compact = inside
	}
	return Decode(compact)
}

// verified records whether the server signed a JWT. Its keys are fetched once.
func (f *Registrant) verified(ctx context.Context, step *Step, token JWT) (err error) {
	if f.published == nil {
		if f.published, err = f.Server.Keys(ctx); err != nil {
			return err
		}
	}
	verdict := "verified"
	if err := token.Verify(f.published); err != nil {
		verdict = err.Error()
	}
	step.equal("the signature, with the key at jwks_uri", "verified", verdict)
	return nil
}
