package main

import (
	"testing"

	"authserver/internal/client"
	"authserver/internal/flow"
	"authserver/internal/oauth"
	"authserver/internal/person"
)

// CC-03 of the requirements, RFC 9700 §4.15: no person's subject is a client_id, whoever chose that.
func TestSubjectsOfPeopleAreNoClients(t *testing.T) {
	for range 1000 {
		if subject, id := person.NewSubject(), oauth.NewID(); client.CheckID(subject) == nil || id[0] == '_' {
			t.Fatalf("%s could be a client, or %s a person", subject, id)
		}
	}
	d := deploy(t, 1, nil)
	c := d.recipient(0)
	a := ask(t, c)
	token := a.redeem(a.code())
	subject, _ := claimsOf(t, token.AccessToken)["sub"].(string)
	if subject == "" || subject == c.ID || subject == demoUsername {
		t.Fatalf("subject %q", subject)
	}
	desk, own := d.desk(t), key(t, "ES256")
	grant := []string{"--grant-type", "client_credentials", "--scope", "client.read", "--jwks", keyFile(t, own)}
	desk.refuses(exitUsage, append([]string{"create", "--id", subject}, grant...), "of which the first is a letter or digit")
	desk.run(append([]string{"create", "--id", demoUsername}, grant...)...)
	namesake := &flow.Client{Server: d.server(0), ID: demoUsername, Key: own, DPoPKey: key(t, "ES256")}
	if sub := claimsOf(t, tokenFor(t, namesake, nil))["sub"]; sub != demoUsername || sub == subject {
		t.Errorf("a client that is called as a person is has the subject %v", sub)
	}
	shared := introspected(t, c, token.AccessToken)
	if shared["sub"] != subject || shared["client_id"] != c.ID {
		t.Errorf("%v", shared)
	}
}
