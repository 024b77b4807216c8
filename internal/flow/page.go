package flow

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Page is what a browser shows.
type Page struct {
	Exchange *Exchange
	Location string   // absolute URL of a redirect that was not followed; then nothing is shown
	Heading  string   // text of the first h1
	Alert    string   // text of the first element with role alert: what is wrong with what was sent
	Text     string   // all that there is to read, also what is folded away
	Dates    []string // that are written for machines too (datetime of time elements)
	Forms    []*Form
}

// Form is a form of a page, as it would be sent if the page's button were pressed now. Change Fields to bend it.
type Form struct {
	Method  string     // GET or POST
	Action  string     // absolute URL
	Fields  url.Values // what is sent: hidden fields, and inputs and boxes as they are filled in
	Choices url.Values // the values of all checkboxes and radio buttons, by name
	Buttons url.Values // the values of its named buttons, by name; pressing one adds it to Fields
	Labels  url.Values // what each checkbox and radio button is labelled with, by its value

	origin string // header field Origin of a POST
}

// Form finds a form by the name of one of its fields, checkboxes or buttons; nil when there is none.
func (p *Page) Form(name string) *Form {
	for _, form := range p.Forms {
		if form.Fields.Has(name) || form.Choices.Has(name) || form.Buttons.Has(name) {
			return form
		}
	}
	return nil
}

// Refused tells whether the page is an error page: a status of 4xx or 5xx, something to read, and no way on.
func (p *Page) Refused() bool { return p.Exchange.Status >= 400 && p.Location == "" && p.Heading != "" }

// String names the page for an error message.
func (p *Page) String() string {
	words := []string{fmt.Sprint(p.Exchange.Status)}
	for _, word := range []string{p.Heading, p.Alert, p.Location} {
		if word != "" {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// asks names the field that the page wants an answer to; empty when it wants none.
func (p *Page) asks() string {
	for _, name := range []string{"password", "accounts", "decision"} {
		if p.Form(name) != nil {
			return name
		}
	}
	return ""
}

// readPage reads an answer as a browser does. What is not HTML is an empty page.
func readPage(exchange *Exchange) *Page {
	page := &Page{Exchange: exchange}
	if location := exchange.ResponseHeader.Get("Location"); location != "" && exchange.Status/100 == 3 {
		page.Location = resolve(exchange.URL, location)
		return page
	}
	if !strings.HasPrefix(exchange.ResponseHeader.Get("Content-Type"), "text/html") {
		return page
	}
	root, err := html.Parse(strings.NewReader(exchange.ResponseBody))
	if err != nil {
		return page // A reader of strings does not fail, and HTML has no syntax errors.
	}
	for node := range root.Descendants() {
		switch {
		case node.DataAtom == atom.H1 && page.Heading == "":
			page.Heading = words(node)
		case attribute(node, "role") == "alert" && page.Alert == "":
			page.Alert = words(node)
		case node.DataAtom == atom.Form:
			page.Forms = append(page.Forms, readForm(node, exchange))
		case node.DataAtom == atom.Time:
			page.Dates = append(page.Dates, attribute(node, "datetime"))
		case node.DataAtom == atom.Body:
			page.Text = words(node)
		}
	}
	return page
}

func readForm(node *html.Node, exchange *Exchange) *Form {
	form := &Form{Method: http.MethodGet, Action: resolve(exchange.URL, attribute(node, "action")), Fields: url.Values{},
		Choices: url.Values{}, Buttons: url.Values{}, Labels: url.Values{}, origin: Origin(exchange.URL)}
	if strings.EqualFold(attribute(node, "method"), "post") {
		form.Method = http.MethodPost
	}
	if exchange.ResponseHeader.Get("Referrer-Policy") == "no-referrer" {
		form.origin = "null" // Fetch §3.2: a page that names itself to nobody does not name its origin either.
	}
	for field := range node.Descendants() {
		if _, disabled := find(field, "disabled"); field.Type == html.ElementNode && !disabled {
			form.add(field)
		}
	}
	return form
}

// add takes a field into the form, if it is one.
func (f *Form) add(field *html.Node) {
	name, value := attribute(field, "name"), attribute(field, "value")
	kind := strings.ToLower(attribute(field, "type"))
	switch {
	case name == "":
	case field.DataAtom == atom.Button, field.DataAtom == atom.Input && kind == "submit":
		f.Buttons.Add(name, value)
	case field.DataAtom != atom.Input:
	case kind == "checkbox", kind == "radio":
		value = cmp.Or(value, "on")
		f.Choices.Add(name, value)
		for parent := range field.Ancestors() {
			if parent.DataAtom == atom.Label {
				f.Labels.Set(value, words(parent))
			}
		}
		if _, checked := find(field, "checked"); checked {
			f.Fields.Add(name, value)
		}
	default:
		f.Fields.Add(name, value)
	}
}

// words are the text below a node, with single spaces.
func words(node *html.Node) string {
	var text strings.Builder
	for child := range node.Descendants() {
		if child.Type == html.TextNode {
			text.WriteString(child.Data)
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

func attribute(node *html.Node, name string) string {
	value, _ := find(node, name)
	return value
}

func find(node *html.Node, name string) (value string, ok bool) {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// resolve makes a URL of a page absolute. One that is absolute already stays as it is written, and so does what is no URL.
func resolve(base, reference string) string {
	from, err := url.Parse(base)
	if err != nil {
		return reference
	}
	to, err := from.Parse(reference)
	if err != nil || strings.HasPrefix(reference, to.Scheme+":") {
		return reference
	}
	return to.String()
}
