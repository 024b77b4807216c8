package dcr

import (
	"authserver/internal/jose"
	"authserver/internal/oauth"
)

// refuseStatement answers a software statement (RFC 7591 §2.3). This server trusts no issuer of them; to ignore one would
// leave its sender believing that what it states is in force.
func refuseStatement(o jose.Object) error {
	text, _, err := o.String("software_statement")
	if err == nil {
		_, err = jose.Door{MaxBytes: 16 << 10, Types: []string{"", "JWT"}}.Parse(text)
	}
	if err != nil {
		return oauth.Refuse(oauth.StatementMalformed, "software_statement: %s", jose.Detail(err))
	}
	return oauth.Refuse(oauth.StatementNotTrusted, "software_statement: its issuer is not one that this server trusts; leave it out")
}
