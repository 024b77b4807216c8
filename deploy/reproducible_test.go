//go:build linux && full

package deploy

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestReproducible: two builds in two folders, neither of which finds anything built before, give the same bytes.
func TestReproducible(t *testing.T) {
	var programs [2][]byte
	for n := range programs {
		t.Setenv("GOCACHE", t.TempDir())
		var err error
		programs[n], err = os.ReadFile(filepath.Join(build(t, t.TempDir()).root, "authserver"))
		must(t, err)
	}
	if !bytes.Equal(programs[0], programs[1]) {
		t.Errorf("two builds of one source differ: %d and %d bytes", len(programs[0]), len(programs[1]))
	}
}
