package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"authserver/internal/oauth"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed style.css
var style []byte

// defaultColor paints where the operator names no color.
const defaultColor = "#1b4d7a"

// maxLogo bounds the logo, in bytes: it comes with every first visit.
const maxLogo = 256 << 10

// logoTypes are the images that every browser shows.
var logoTypes = []string{"image/svg+xml", "image/png", "image/jpeg", "image/webp"}

// Brand is whose pages they are.
type Brand struct {
	Name     string // of the bank
	Color    string // #rrggbb; "": a calm blue
	Logo     []byte // at most 256 KiB; nil: none
	LogoType string // content type of Logo
}

// Pages are all pages of one server.
type Pages struct {
	brand     Brand
	base      string
	templates map[Language]map[string]*template.Template
	assets    map[string]asset
}

// asset is a file that the pages load.
type asset struct {
	url         string // with a hash of the content, so that a cache may keep what it gets for ever
	contentType string
	body        []byte
}

// view is what a template sees.
type view struct {
	Language          Language
	Base              string
	Brand             string
	Style, Look, Logo string // URLs; Logo "": none
	Problem           Problem
	Model             Model
}

// New reads templates and catalogues. Base stands before every link: the path of the issuer, "" for most.
func New(b Brand, base string) (*Pages, error) {
	if b.Name == "" {
		return nil, errors.New("a brand needs a name")
	}
	if b.Color == "" {
		b.Color = defaultColor
	}
	if err := CheckColor(b.Color); err != nil {
		return nil, err
	}
	if len(b.Logo) > 0 {
		if err := CheckLogo(b.Logo, b.LogoType); err != nil {
			return nil, err
		}
	}
	p := &Pages{brand: b, base: base, templates: map[Language]map[string]*template.Template{}, assets: map[string]asset{}}
	p.collectAssets()
	for _, l := range languages {
		if err := p.parse(l); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// CheckLogo tells whether a picture of this content type can be shown on every page.
func CheckLogo(picture []byte, contentType string) error {
	if len(picture) > maxLogo {
		return fmt.Errorf("the logo has %d bytes, at most %d are served", len(picture), maxLogo)
	}
	if !slices.Contains(logoTypes, contentType) {
		return fmt.Errorf("the logo is of the type %q, expected one of %s", contentType, strings.Join(logoTypes, ", "))
	}
	return nil
}

func (p *Pages) collectAssets() {
	const css = "text/css; charset=utf-8"
	color, _ := parseColor(p.brand.Color) // checked by New
	p.addAsset("style.css", css, style)
	p.addAsset("brand.css", css, color.stylesheet())
	if len(p.brand.Logo) > 0 {
		p.addAsset("logo", p.brand.LogoType, p.brand.Logo)
	}
}

func (p *Pages) addAsset(name, contentType string, body []byte) {
	sum := sha256.Sum256(body)
	p.assets[name] = asset{p.base + "/assets/" + name + "?v=" + hex.EncodeToString(sum[:8]), contentType, body}
}

// parse makes the templates speak l.
func (p *Pages) parse(l Language) error {
	words, err := readCatalogue(l)
	if err != nil {
		return err
	}
	layout, err := template.New("layout.html").Funcs(words.functions(p.brand.Name)).ParseFS(templates, "templates/layout.html")
	if err != nil {
		return err
	}
	p.templates[l] = map[string]*template.Template{}
	for _, m := range []Model{Login{}, Accounts{}, Consent{}, Connected{}, Answer{}, Logout{}, SignedOut{}, Failure{}} {
		t, err := layout.Clone()
		if err != nil {
			return err
		}
		if p.templates[l][m.name()], err = t.ParseFS(templates, "templates/"+m.name()+".html"); err != nil {
			return err
		}
	}
	return nil
}

// Write answers with a page. formAction are the origins, or schemes (https:), that the answer to its form may redirect to,
// hop by hop: Chromium holds every redirect behind a form against the policy. What is neither is left out. Answer needs none:
// its form goes to its Target's origin alone.
func (p *Pages) Write(w http.ResponseWriter, l Language, status int, m Model, formAction ...string) {
	if !slices.Contains(languages, l) {
		l = languages[0]
	}
	var body bytes.Buffer
	// A template fails only by a fault of ours, so it panics and becomes a 500.
	if err := p.templates[l][m.name()].Execute(&body, p.view(l, m)); err != nil {
		panic(err)
	}
	h := w.Header()
	oauth.NoStore(w)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(l))
	h.Set("Content-Security-Policy", policy(m, formAction))
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

func (p *Pages) view(l Language, m Model) view {
	return view{
		Language: l, Base: p.base, Brand: p.brand.Name, Problem: m.problem(), Model: m,
		Style: p.assets["style.css"].url, Look: p.assets["brand.css"].url, Logo: p.assets["logo"].url,
	}
}

// policy lets a page load its two stylesheets and the logo, and nothing run but the one script of Answer, whose form leads
// away from this server.
func policy(m Model, formAction []string) string {
	script, targets := "", []string{"'self'"}
	if a, leaves := m.(Answer); leaves {
		script, targets, formAction = "; script-src '"+hashOf(submit)+"'", nil, []string{a.origin()}
	}
	for _, origin := range formAction {
		if origins.MatchString(origin) {
			targets = append(targets, origin)
		}
	}
	return "default-src 'none'; style-src 'self'; img-src 'self'" + script + "; form-action " + strings.Join(targets, " ") +
		"; base-uri 'none'; frame-ancestors 'none'"
}

// submit is all that ever runs in a page. Its button must not have the id submit, which would stand in the method's way.
const submit = "document.forms[0].submit()"

// hashOf is how a policy names a script (CSP Level 3 §2.3.1).
func hashOf(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// origins are those that a policy has words for: not literal IPv6 addresses, and nothing that could end a directive.
var origins = regexp.MustCompile(`^https?:(//[A-Za-z0-9.-]+(:[0-9]+)?)?$`)

// Asset is what stands at /assets/{name}: style.css, brand.css and, if there is one, logo. An SVG is a document of its own
// when it is opened alone: whoever serves it adds a policy that lets nothing in it run.
func (p *Pages) Asset(name string) (contentType string, body []byte, ok bool) {
	a, ok := p.assets[name]
	return a.contentType, a.body, ok
}
