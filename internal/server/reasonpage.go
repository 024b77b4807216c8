package server

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"

	"authserver/internal/oauth"

	"github.com/go-chi/chi/v5"
)

// reasonTemplate is the page behind an error_uri, for the developer of a client.
var reasonTemplate = template.Must(template.New("reason").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Reason}} · authserver</title></head>
<body>
<main>
<h1>{{.Reason}}</h1>
<p>{{.Meaning}}</p>
<h2>What to do</h2>
<p>{{.Remedy}}</p>
<p>In the response: <code>"error": "{{.Code}}"</code>. The response's x-fapi-interaction-id finds the request in the operator's log.</p>
</main>
</body>
</html>
`))

// reasonPage explains one reason, from the same table as the codes.
func reasonPage(w http.ResponseWriter, r *http.Request) error {
	explanation, ok := oauth.Explain(oauth.Reason(strings.ToLower(chi.URLParam(r, "reason"))))
	if !ok {
		return oauth.Refuse(oauth.NoSuchEndpoint, "there is no reason of this name")
	}
	var page bytes.Buffer
	if err := reasonTemplate.Execute(&page, explanation); err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
	return writePublic(w, "text/html; charset=utf-8", page.Bytes())
}
