// Package migrations holds the steps of the database's schema, in the order of their numbers. A step that has been
// released is never edited.
package migrations

import "embed"

// Files are the steps, as goose reads them.
//
//go:embed *.sql
var Files embed.FS
