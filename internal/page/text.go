package page

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"authserver/internal/fdx"
)

//go:embed texts/*.json
var texts embed.FS

// catalogue is the wording of one language, by key. {word} in it is filled in.
type catalogue map[string]string

func readCatalogue(l Language) (catalogue, error) {
	raw, err := texts.ReadFile("texts/" + string(l) + ".json")
	if err != nil {
		return nil, err
	}
	var c catalogue
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("texts/%s.json: %w", l, err)
	}
	return c, nil
}

// piece is a part of a sentence: the catalogue's own words, or what was filled in, which stands in a <bdi>.
type piece struct {
	Text   string
	Filled bool
}

// permission is a data cluster or a scope in plain words.
type permission struct {
	Label []piece
	About []piece
	Name  string // as developers write it
}

// numbered is a sharing and its number on the page, which its ids end with.
type numbered struct {
	Sharing
	Number int
}

// functions are what the templates say words with.
func (c catalogue) functions(brand string) template.FuncMap {
	return template.FuncMap{
		"text":     c.text,
		"sentence": c.sentence,
		"permissions": func(clusters, overall, scopes []string) ([]permission, error) {
			return c.permissions(clusters, overall, scopes, brand)
		},
		"entity":    c.entity,
		"lookBack":  c.lookBack,
		"happening": func(what any, client string) ([]piece, error) { return c.happening(what, client, brand) },
		"numbered":  number,
		"wait":      c.wait,
		"date":      c.date,
		"moment":    c.moment,
		"submit":    func() template.JS { return submit },
	}
}

// text is a wording that nothing is filled into.
func (c catalogue) text(key string) (string, error) {
	text, ok := c[key]
	if !ok {
		return "", fmt.Errorf("the catalogue has no %q", key)
	}
	return text, nil
}

// sentence fills a wording in, from pairs of word and value.
func (c catalogue) sentence(key string, pairs ...string) ([]piece, error) {
	text, err := c.text(key)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	var pieces []piece
	for text != "" {
		before, rest, found := strings.Cut(text, "{")
		pieces = append(pieces, piece{Text: before})
		if !found {
			break
		}
		word, after, _ := strings.Cut(rest, "}")
		value, ok := values[word]
		if !ok {
			return nil, fmt.Errorf("nothing fills {%s} of %q", word, key)
		}
		pieces = append(pieces, piece{Text: value, Filled: true})
		text = after
	}
	return pieces, nil
}

// permissions say what data clusters hold and what scopes allow, one each. A cluster is told in the words of its first
// scope, which is then left out.
func (c catalogue) permissions(clusters, overall, scopes []string, brand string) ([]permission, error) {
	var all []permission
	told := map[string]bool{}
	for i, name := range slices.Concat(clusters, overall) {
		if opens, ok := fdx.ScopesOf(name); ok {
			told[opens[0]] = true
		}
		key := "cluster." + name
		if i >= len(clusters) {
			key += ".overall"
		}
		p, err := c.permission(key, name, brand)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	for _, name := range scopes {
		if told[name] {
			continue
		}
		p, err := c.permission("scope."+name, name, brand)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// permission finds the words under the key. Of a scope that the operator has added only the name is known.
func (c catalogue) permission(key, name, brand string) (permission, error) {
	if _, known := c[key]; !known {
		key = "scope.other"
	}
	label, err := c.sentence(key, "name", name, "brand", brand)
	if err != nil {
		return permission{}, err
	}
	about, err := c.sentence(key+".about", "name", name, "brand", brand)
	return permission{Label: label, About: about, Name: name}, err
}

// entity says where a legal person is registered.
func (c catalogue) entity(e Entity) ([]piece, error) {
	registry, known := c["registry."+e.Registry]
	if !known {
		registry = e.Registry
	}
	if e.ID == "" {
		return c.sentence("entity.registry", "registry", registry)
	}
	return c.sentence("entity.id", "id", e.ID, "registry", registry)
}

// lookBack says how old the data may be.
func (c catalogue) lookBack(days int) ([]piece, error) {
	const year = 365
	switch {
	case days <= 0:
		return c.sentence("look_back.all")
	case days == 1:
		return c.sentence("look_back.day")
	case days == year:
		return c.sentence("look_back.year")
	case days%year == 0:
		return c.sentence("look_back.years", "years", strconv.Itoa(days/year))
	default:
		return c.sentence("look_back.days", "days", strconv.Itoa(days))
	}
}

// wait says when the next attempt may come, in minutes begun.
func (c catalogue) wait(d time.Duration) ([]piece, error) {
	switch minutes := int(math.Ceil(d.Minutes())); {
	case minutes < 1:
		return c.sentence("wait.later")
	case minutes == 1:
		return c.sentence("wait.minute")
	default:
		return c.sentence("wait.minutes", "minutes", strconv.Itoa(minutes))
	}
}

// date is a day in UTC, as the language writes it. The first of a month may be written its own way.
func (c catalogue) date(t time.Time) (string, error) {
	t = t.UTC()
	month, err := c.text("month." + strconv.Itoa(int(t.Month())))
	if err != nil {
		return "", err
	}
	key := "date"
	if t.Day() == 1 {
		key = "date.first"
	}
	return c.filled(key, "day", strconv.Itoa(t.Day()), "month", month, "year", strconv.Itoa(t.Year()))
}

// moment is a minute in UTC.
func (c catalogue) moment(t time.Time) (string, error) {
	date, err := c.date(t)
	if err != nil {
		return "", err
	}
	return c.filled("moment", "date", date, "time", t.UTC().Format("15:04"))
}

// filled is a sentence as plain text, for what holds no hostile word.
func (c catalogue) filled(key string, pairs ...string) (string, error) {
	pieces, err := c.sentence(key, pairs...)
	var text strings.Builder
	for _, p := range pieces {
		text.WriteString(p.Text)
	}
	return text.String(), err
}

// happening says what became of a sharing: a Happening or an Ending.
func (c catalogue) happening(what any, client, brand string) ([]piece, error) {
	return c.sentence(fmt.Sprintf("happening.%s", what), "client", client, "brand", brand)
}

// number numbers sharings from the first number on.
func number(sharings []Sharing, first int) []numbered {
	var all []numbered
	for i, s := range sharings {
		all = append(all, numbered{s, first + i})
	}
	return all
}
