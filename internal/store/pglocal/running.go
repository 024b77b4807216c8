package pglocal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Running is the pgx connection string of the database "authserver" in a data folder that another process serves. Whether
// that process is still alive, connecting tells. The error is fs.ErrNotExist when nobody serves the folder.
func Running(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cluster", "postmaster.pid"))
	if err != nil {
		return "", err
	}
	lines := strings.Split(string(text), "\n")
	const socketLine = 4 // pid, data folder, start, port, socket's folder
	if len(lines) <= socketLine || lines[socketLine] == "" {
		return "", errors.Join(fs.ErrNotExist, errors.New("PostgreSQL is still starting"))
	}
	return (&Server{scratch: lines[socketLine]}).URL(database), nil
}
