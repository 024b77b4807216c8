package store_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"strings"
	"testing"

	"authserver/internal/client"
	"authserver/internal/issuer"
	"authserver/internal/keys"
	"authserver/internal/store"
	"authserver/internal/store/storetest"

	"github.com/jackc/pgx/v5/pgconn"
)

// marker stands in for every value that a method is given.
const marker = "v4lue-of-somebody"

// calls are all methods that talk to the database, with values that can be recognised.
func calls(t *testing.T, s *store.Store) map[string]func() error {
	ctx := t.Context()
	c := registered(marker)
	c.Metadata.ClientName, c.RegistrationTokenHash, c.Serves = marker, []byte(marker), []string{marker}
	use := assertion(marker, marker)
	all := map[string]func() error{
		"Spend":      func() error { _, err := s.Spend(ctx, by("", 0, use)); return err },
		"Deny":       func() error { return s.Deny(ctx, use) },
		"Denied":     func() error { _, _, err := s.Denied(ctx, use, marker, marker); return err },
		"FindClient": func() error { _, _, err := s.FindClient(ctx, marker); return err },
		"AddClient":  func() error { _, err := s.AddClient(ctx, c); return err },
		"Client":     func() error { _, _, err := s.Client(ctx, marker); return err },
		"Clients":    func() error { _, err := s.Clients(ctx, "", 100, true); return err },
		"ReplaceClient": func() error {
			c.Version = 1
			_, err := s.ReplaceClient(ctx, c, noon)
			return err
		},
		"ImportClients": func() error {
			c.Unbound = true
			_, err := s.ImportClients(ctx, []client.Client{c}, noon)
			return err
		},
		"UpdateClient": func() error { _, _, err := s.UpdateClient(ctx, marker, nil, c.Metadata, noon); return err },
		"DeleteClient": func() error { _, err := s.DeleteClient(ctx, marker, nil, noon); return err },
		"SaveKeySet": func() error {
			return s.SaveKeySet(ctx, marker, client.FetchedKeySet{URI: marker, Raw: []byte(marker), At: noon})
		},
		"SubjectHolders": func() error { _, err := s.SubjectHolders(ctx, []string{marker}); return err },
		"FindIssuer":     func() error { _, _, err := s.FindIssuer(ctx, marker); return err },
		"TrustsIssuers":  func() error { _, err := s.TrustsIssuers(ctx); return err },
		"NamesClient":    func() error { _, err := s.NamesClient(ctx, marker); return err },
		"IssuersNaming":  func() error { _, err := s.IssuersNaming(ctx, marker); return err },
		"Issuers":        func() error { _, err := s.Issuers(ctx, "", 5); return err },
		"AddIssuers": func() error {
			i := gateway("new " + marker)
			i.Clients, i.Subjects, i.JWKS = []string{marker}, []string{marker}, []byte(`{"kid":"`+marker+`"}`)
			_, err := s.AddIssuers(ctx, []issuer.Issuer{i}, true, noon)
			return err
		},
		"SaveIssuerKeySet": func() error {
			return s.SaveIssuerKeySet(ctx, marker, client.FetchedKeySet{URI: marker, Raw: []byte(marker), At: noon})
		},
		"RemoveIssuer": func() error { _, err := s.RemoveIssuer(ctx, "another "+marker); return err },
		"Logo":         func() error { _, _, err := s.Logo(ctx, marker); return err },
		"SaveLogo": func() error {
			return s.SaveLogo(ctx, marker, client.Logo{URI: marker, ContentType: "image/png", Body: []byte(marker), At: noon})
		},
		"ChangeSigningKeys": func() error {
			return s.ChangeSigningKeys(ctx, func([]keys.Sealed) (keys.Changes, error) {
				return keys.Changes{Put: []keys.Sealed{{KID: marker, Alg: marker, Private: []byte(marker)}}, Delete: []string{marker}}, nil
			})
		},
		"SigningKeys": func() error { _, err := s.SigningKeys(ctx); return err },
		"Stamp":       func() error { return s.Stamp(ctx, "serve", marker, noon) },
		"Sweep":       func() error { return s.Sweep(ctx) },
		"Clock":       func() error { _, err := s.Clock(ctx); return err },
	}
	maps.Copy(all, authorizationCalls(t, s))
	return all
}

// silent fails when an error's text holds SQL, a value, or what the store was opened with.
func silent(t *testing.T, name string, err error, more ...string) {
	t.Helper()
	for _, secret := range append(more, marker, "SELECT ", "INSERT ", "UPDATE ", "VALUES", "FROM ", "$1", fmt.Sprintf("%x", marker)) {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells %q: %v", name, secret, err)
		}
	}
}

// TestFaults: a schema that does not fit is nobody's passing trouble, and the error tells neither SQL nor values.
func TestFaults(t *testing.T) {
	t.Run("tables are missing", func(t *testing.T) {
		s := storetest.Open(t, storetest.Empty(t))
		for name, call := range calls(t, s) {
			err := call()
			if name == "Clock" {
				continue
			}
			if err == nil || isTemporary(err) {
				t.Errorf("%s: %v, want a fault", name, err)
			}
			silent(t, name, err)
		}
	})
	t.Run("rows are refused", func(t *testing.T) {
		url := storetest.URL(t)
		s, operator := storetest.Open(t, url), connect(t, url)
		addClients(t, s, marker)
		mustAdd(t, s, false, noon, []store.Imported{store.Created}, gateway(marker))
		furnish(t, s, operator)
		for _, table := range append(lived, "login_attempt", "issuer", "issuer_key_set", "client_key_set", "client_logo", "spent", "signing_key", "deployment") {
			execute(t, operator, `ALTER TABLE `+table+` ADD CONSTRAINT refused CHECK (false) NOT VALID`)
		}
		reads := map[string]bool{
			"FindClient": true, "Client": true, "Clients": true, "Logo": true, "Denied": true, "SigningKeys": true, "Sweep": true, "Clock": true,
			"FindIssuer": true, "TrustsIssuers": true, "NamesClient": true, "SubjectHolders": true, "IssuersNaming": true, "Issuers": true, "RemoveIssuer": true,
			"Refresh": true, "FindGrant": true, "FindConsent": true, "Consents": true, "ListConsents": true, "FindPerson": true, "People": true, "SignOut": true, "Forgive": true, "SweepAuthorizations": true, "ErasePerson": true,
		}
		for name, call := range calls(t, s) {
			if name == "AddClient" { // the id is taken, so there is no row to refuse
				continue
			}
			err := call()
			if (err == nil) != reads[name] || isTemporary(err) {
				t.Errorf("%s: %v", name, err)
			}
			silent(t, name, err)
		}
	})
	t.Run("a row cannot be read", func(t *testing.T) {
		url := storetest.URL(t)
		s := storetest.Open(t, url)
		addClients(t, s, "a")
		execute(t, connect(t, url), `UPDATE client SET metadata = '{"client_name": ["`+marker+`"]}'`)
		_, found, err := s.FindClient(t.Context(), "a")
		if found || err == nil || isTemporary(err) {
			t.Errorf("found %v, error %v", found, err)
		}
		silent(t, "FindClient", err)
	})
}

// TestBadURL: a URL that cannot be read, and a database that cannot be reached, are told without the password.
func TestBadURL(t *testing.T) {
	for _, url := range []string{
		"postgres://user:" + marker + "@db.example:port/name",
		"postgres://user:" + marker + "@db.example:5432/name?sslmode=" + marker,
		"postgres://user:" + marker + "@db.example/name?pool_max_conns=" + marker,
		"postgres://user:" + marker + "@db.example/name?connect_timeout=" + marker,
		"postgres://user:" + marker + "%zz@db.example/name",
		"postgres://user:" + marker + "@[db.example/name",
		"host=db.example password='" + marker,
		"host=db.example password=" + marker + " port=none",
		marker,
	} {
		err := store.CheckURL(url)
		if err == nil {
			t.Errorf("%s passes", url)
		}
		silent(t, "CheckURL", err, "db.example")
		s, err := store.Open(t.Context(), url)
		if err == nil {
			s.Close()
			t.Errorf("%s opens", url)
		}
		silent(t, "Open", err, "db.example")
	}
	if err := store.CheckURL(storetest.URL(t)); err != nil {
		t.Errorf("a good URL: %v", err)
	}
}

// TestUnreachable: a database that is not there, or something else in its place, is an outage for every method, and the
// text keeps the password.
func TestUnreachable(t *testing.T) {
	for name, host := range map[string]string{
		"nobody listens":    "127.0.0.1:1",
		"closes at once":    listener(t, ""),
		"is no PostgreSQL":  listener(t, "HTTP/1.1 400 Bad Request\r\n\r\n"),
		"refuses our TLS":   listener(t, "N"),
		"speaks half a TLS": listener(t, "S"),
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.Open(t, "postgres://user:"+marker+"@"+host+"/name?sslmode=require")
			all := calls(t, s)
			all["Migrate"] = func() error { _, err := s.Migrate(t.Context()); return err }
			for name, call := range all {
				err := call()
				if err == nil || !isTemporary(err) {
					t.Errorf("%s: %v, want an outage", name, err)
				}
				silent(t, name, err)
			}
		})
	}
}

// TestCannotLogIn: credentials that the database does not take are an outage: they are the operator's to mend, and the
// request that met them may well succeed later.
func TestCannotLogIn(t *testing.T) {
	location, err := url.Parse(storetest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	location.User = url.UserPassword("nobody", marker)
	s := storetest.Open(t, location.String())
	for name, call := range calls(t, s) {
		err := call()
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "28000" || !isTemporary(err) {
			t.Errorf("%s: %v, want an outage with the code 28000", name, err)
		}
		silent(t, name, err)
	}
}

// TestCloseTwice: what closes a Store need not know whether another has.
func TestCloseTwice(t *testing.T) {
	s := storetest.New(t)
	s.Close()
	s.Close()
}

// listener answers every connection with the same words and closes it.
func listener(t *testing.T, words string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, words)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// TestFailure: which errors pass. The codes are those of PostgreSQL's appendix A.
func TestFailure(t *testing.T) {
	for code, passes := range map[string]bool{
		"08006": true,  // connection_failure
		"53300": true,  // too_many_connections
		"53100": true,  // disk_full
		"57014": true,  // query_canceled: statement_timeout
		"57P01": true,  // admin_shutdown
		"57P03": true,  // cannot_connect_now
		"40001": true,  // serialization_failure
		"40P01": true,  // deadlock_detected
		"25006": true,  // read_only_sql_transaction: a demoted primary
		"25P03": true,  // idle_in_transaction_session_timeout
		"55P03": true,  // lock_not_available
		"55000": true,  // object_not_in_prerequisite_state: ALTER DATABASE ... ALLOW_CONNECTIONS false
		"23505": false, // unique_violation
		"23514": false, // check_violation
		"42P01": false, // undefined_table
		"42601": false, // syntax_error
		"28P01": false, // invalid_password
		"22021": false, // character_not_in_repertoire
		"25P02": false, // in_failed_sql_transaction
	} {
		err := store.Failure("method", fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code, Message: "m", Detail: marker}))
		if isTemporary(err) != passes {
			t.Errorf("%s passes: %v, want %v", code, !passes, passes)
		}
		silent(t, code, err)
		if pg := new(pgconn.PgError); !errors.As(err, &pg) || !strings.HasPrefix(err.Error(), "store: method: ") {
			t.Errorf("%s has become %v", code, err)
		}
	}
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF} {
		if err := store.Failure("method", broken); !isTemporary(err) {
			t.Errorf("%v is no outage", broken)
		}
	}
	if err := store.Failure("method", errors.New("anything else")); isTemporary(err) {
		t.Error("an unknown error is an outage")
	}
	if err := store.Failure("method", nil); err != nil {
		t.Errorf("nil has become %v", err)
	}
}
