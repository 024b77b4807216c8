package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	superuser = "authserver"
	database  = "authserver"
	port      = "5432" // part of the socket's name only: no TCP port is opened

	interval   = 20 * time.Millisecond // between two looks at something awaited
	lockLimit  = 5 * time.Second       // for the shutdown of a previous run whose parent was killed
	readyLimit = time.Minute           // for the recovery after a crash
)

// Options say where the private PostgreSQL lives.
type Options struct {
	// Dir is the data folder, kept between runs and made when missing. Empty: a temporary one, which Stop removes.
	Dir string
	// Fast turns fsync, synchronous_commit and full_page_writes off: for tests, whose data may be lost.
	Fast bool
}

// Server is a running PostgreSQL that belongs to this process.
type Server struct {
	bin, version string
	dir, scratch string
	fast         bool
	account      account
	child        *child
	stop         func() error
}

// Start runs PostgreSQL and returns when it accepts connections and has a database "authserver". The context limits
// the start, not the life of the server. A [*Missing] error says that there are no programs to run.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := Find()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: o.Dir, fast: o.Fast}
	s.stop = sync.OnceValue(s.end)
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", errors.Join(err, s.Stop()))
	}
	return s, nil
}

// URL is the pgx connection string of a database, over the private Unix socket. It needs no password.
func (s *Server) URL(database string) string {
	values := url.Values{"host": {s.scratch}, "port": {port}, "sslmode": {"disable"}}
	location := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: values.Encode()}
	return location.String()
}

// Version is PostgreSQL's version, such as "15.18".
func (s *Server) Version() string { return s.version }

// Stop ends open connections, shuts the server down and removes what is temporary. A second call returns what the
// first one did. The error says that PostgreSQL had failed before, or did not end within 30 s and was killed.
func (s *Server) Stop() error { return s.stop() }

func (s *Server) end() error {
	var err error
	if s.child != nil {
		if err = s.child.end(""); err != nil {
			err = fmt.Errorf("stop PostgreSQL: %w", err)
		}
	}
	if s.scratch != "" {
		err = errors.Join(err, os.RemoveAll(s.scratch))
	}
	return err
}

func (s *Server) start(ctx context.Context) (err error) {
	if s.dir != "" {
		if s.dir, err = filepath.Abs(s.dir); err != nil {
			return err
		}
	}
	if s.account, err = accountFor(s.dir); err != nil {
		return err
	}
	if s.version, err = s.account.version(ctx, s.bin); err != nil {
		return err
	}
	if s.scratch, err = s.account.scratch(ctx); err != nil {
		return err
	}
	if s.dir == "" {
		s.dir = s.scratch
	}
	lock, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer lock.Close() // the child's copy keeps the lock
	if err := s.initialize(ctx, lock); err != nil {
		return err
	}
	if s.child, err = s.account.run(s.log(), s.scratch, lock, s.postgres()...); err != nil {
		return err
	}
	return s.ready(ctx)
}

func (s *Server) cluster() string { return filepath.Join(s.dir, "cluster") }
func (s *Server) log() string     { return filepath.Join(s.dir, "postgres.log") }

// open makes and locks the data folder. The lock goes with the open file: closing it here leaves it to the child that
// inherited it, and it is gone when the last process of that run is.
func (s *Server) open(ctx context.Context) (folder *os.File, err error) {
	if err := os.MkdirAll(filepath.Dir(s.dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if folder, err = os.Open(s.dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			folder.Close()
		}
	}()
	if err := s.account.own(folder); err != nil {
		return nil, err
	}
	if err := s.account.enter(ctx, s.dir); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockLimit); ; time.Sleep(interval) {
		err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return folder, nil
		}
		if err != syscall.EWOULDBLOCK || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", s.dir, err), ctx.Err())
		}
		if time.Now().After(deadline) {
			pid, _ := os.ReadFile(filepath.Join(s.cluster(), "postmaster.pid"))
			first, _, _ := strings.Cut(string(pid), "\n")
			return nil, fmt.Errorf("another authserver dev is using %s (its PostgreSQL is process %s): stop that one, or choose another folder", s.dir, first)
		}
	}
}

// initialize makes a cluster, unless the folder holds one already. It must be of the same major version.
func (s *Server) initialize(ctx context.Context, lock *os.File) error {
	made, err := os.ReadFile(filepath.Join(s.cluster(), "PG_VERSION"))
	if err == nil {
		return s.suits(strings.TrimSpace(string(made)))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fresh := s.cluster() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	log := filepath.Join(s.scratch, "initdb.log")
	// Nobody is asked for a password: only the account itself and root can enter the socket's folder, and they could
	// read the data files just as well.
	program := []string{filepath.Join(s.bin, "initdb"), "--pgdata=" + fresh, "--username=" + superuser,
		"--encoding=UTF8", "--no-locale", "--auth=trust"}
	if s.fast {
		program = append(program, "--no-sync")
	}
	initdb, err := s.account.run(log, s.scratch, lock, program...)
	if err != nil {
		return err
	}
	select {
	case <-initdb.ended:
	case <-ctx.Done():
		return errors.Join(ctx.Err(), initdb.end(""))
	}
	if err := initdb.end("keep"); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, tail(log))
	}
	return os.Rename(fresh, s.cluster())
}

// suits compares the major version of a cluster, "15", with that of the programs: "15.18", or "18beta1".
func (s *Server) suits(cluster string) error {
	major := strings.FieldsFunc(s.version, func(r rune) bool { return r < '0' || r > '9' })
	if len(major) > 0 && major[0] == cluster {
		return nil
	}
	return fmt.Errorf("%s was made by PostgreSQL %s, but %s holds PostgreSQL %s: set %s to a folder with version %s, or choose another data folder",
		s.dir, cluster, s.bin, s.version, binVariable, cluster)
}

// postgres is the server's command line. Settings stand here and not in the folder's postgresql.conf, so that a folder
// made by an older release gets today's.
func (s *Server) postgres() []string {
	program := []string{filepath.Join(s.bin, "postgres"), "-D", s.cluster(), "-k", s.scratch, "-p", port,
		"-c", "listen_addresses=",
		"-c", "shared_buffers=64MB",
		"-c", "max_connections=200",
		"-c", "logging_collector=off", // some distributions turn it on, away from our log
	}
	if s.fast {
		program = append(program, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	return program
}

// ready waits until the server accepts connections, and makes the database if it is missing.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			defer conn.Close(ctx)
			return create(ctx, conn)
		}
		select {
		case <-s.child.ended:
			return fmt.Errorf("it ended at once; its log says:\n%s", tail(s.log()))
		case <-ctx.Done():
			return fmt.Errorf("it does not accept connections: %w; its log says:\n%s", err, tail(s.log()))
		case <-time.After(interval):
		}
	}
}

func create(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&exists)
	if err != nil || exists {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+database)
	return err
}
