package store

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// outage is an error that passes: the same request may succeed later.
type outage struct{ error }

func (outage) Temporary() bool { return true }
func (o outage) Unwrap() error { return o.error }

// failure names the method that failed and tells an outage from a fault. SQL and values never reach its text.
func failure(method string, err error) error {
	if err == nil {
		return nil
	}
	named := fmt.Errorf("store: %s: %w", method, err)
	if isOutage(err) {
		return outage{named}
	}
	return named
}

func isOutage(err error) bool {
	// Whatever keeps a connection from being made, a password that is being changed too, is no fault of the request.
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "57", "40": // connection, resources, operator intervention and time-out, serialisation
			return true
		}
		// a demoted primary, a transaction left idle for too long, a lock that was not available, a database that the
		// operator has closed to connections
		return pg.Code == "25006" || pg.Code == "25P03" || pg.Code == "55P03" || pg.Code == "55000"
	}
	var network net.Error
	return errors.As(err, &network) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		pgconn.SafeToRetry(err) || errors.Is(err, net.ErrClosed) || isBroken(err)
}
