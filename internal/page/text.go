package page

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
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

// permission is a scope in plain words.
type permission struct {
	Label []piece
	About []piece
	Scope string
}

// functions are what the templates say words with.
func (c catalogue) functions(brand string) template.FuncMap {
	return template.FuncMap{
		"text":       c.text,
		"sentence":   c.sentence,
		"permission": func(scope string) (permission, error) { return c.permission(scope, brand) },
		"wait":       c.wait,
		"date":       c.date,
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

// permission says what a scope opens. Of a scope that the operator has added only the name is known.
func (c catalogue) permission(scope, brand string) (permission, error) {
	key := "scope." + scope
	if _, known := c[key]; !known {
		key = "scope.other"
	}
	label, err := c.sentence(key, "scope", scope, "brand", brand)
	if err != nil {
		return permission{}, err
	}
	about, err := c.sentence(key+".about", "scope", scope, "brand", brand)
	return permission{Label: label, About: about, Scope: scope}, err
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
	pieces, err := c.sentence(key, "day", strconv.Itoa(t.Day()), "month", month, "year", strconv.Itoa(t.Year()))
	var date strings.Builder
	for _, p := range pieces {
		date.WriteString(p.Text)
	}
	return date.String(), err
}
