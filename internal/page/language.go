package page

import "golang.org/x/text/language"

// Language is one that the pages are written in, as a BCP 47 tag.
type Language string

// languages are those of texts. The first answers whoever speaks none of them.
var languages = []Language{"en", "es", "fr"}

// matcher knows which of languages serves a reader best.
var matcher = language.NewMatcher([]language.Tag{language.English, language.Spanish, language.French})

// Languages is ui_locales_supported of the metadata.
func Languages() []string {
	var all []string
	for _, l := range languages {
		all = append(all, string(l))
	}
	return all
}

// Language is the one for a reader: the client's ui_locales count first (OpenID Connect Core §3.1.2.1), then the browser's
// Accept-Language. What is no language tag is passed over.
func (p *Pages) Language(uiLocales []string, acceptLanguage string) Language {
	var asked []language.Tag
	for _, locale := range uiLocales {
		if tag, err := language.Parse(locale); err == nil {
			asked = append(asked, tag)
		}
	}
	accepted, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil {
		accepted = nil
	}
	for _, wishes := range [][]language.Tag{asked, accepted} {
		if _, i, confidence := matcher.Match(wishes...); confidence > language.No {
			return languages[i]
		}
	}
	return languages[0]
}
