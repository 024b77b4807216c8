package person

import "time"

// Wish stub.
type Wish struct {
	Prompt     []string
	MaxAge     *int
	ACRValues  []string
	LoginHint  string
	UILocales  []string
	Fresh      bool
}

// Arrived stub.
type Arrived struct {
	Identity Identity
	Name     string
	At       time.Time
	ACR      string
	AMR      []string
}
