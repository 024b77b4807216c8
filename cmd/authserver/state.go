package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"authserver/internal/keys"
)

// stateDir is where dev keeps its state for an issuer: a folder of its own, so that two run side by side. As root it lies
// outside root's home, which the account that PostgreSQL runs under cannot enter.
func stateDir(issuer string) (string, error) {
	base, err := dataHome()
	if err != nil {
		return "", err
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return "", err
	}
	name := "dev"
	if issuer != defaultIssuer {
		name = "dev-" + strings.Map(func(r rune) rune {
			if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-", r) {
				return r
			}
			return '-'
		}, u.Scheme+"-"+u.Host+u.Path)
	}
	return filepath.Join(base, "authserver", name), nil
}

func dataHome() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return dir, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib", nil
	}
	home, err := os.UserHomeDir()
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support"), err
	}
	return filepath.Join(home, ".local", "share"), err
}

// devEncryptionKeys reads the key-encryption key of a state folder, and makes it the first time.
func devEncryptionKeys(dir string) (keys.EncryptionKeys, error) {
	path := filepath.Join(dir, encryptionKeyFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		var key [32]byte
		_, _ = rand.Read(key[:])
		text := base64.StdEncoding.EncodeToString(key[:]) + "\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return readEncryptionKeys(dir)
}

func readEncryptionKeys(dir string) (keys.EncryptionKeys, error) {
	path := filepath.Join(dir, encryptionKeyFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	parsed, err := keys.ParseEncryptionKeys(strings.TrimSpace(string(text)))
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return parsed, err
}
