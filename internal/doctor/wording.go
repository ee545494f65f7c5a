package doctor

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// short returns a duration as a person would say it.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

func statusText(status int) string {
	return fmt.Sprintf("status %d (%s)", status, http.StatusText(status))
}

// withoutQuery returns a URL as it may be shown, without its query, which may contain a ticket or a name.
func withoutQuery(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "…"
	}
	u.User, u.Fragment = nil, ""
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	return u.String()
}

// clean removes from a text all that a terminal would act upon, and limits its length.
func clean(text string) string {
	const most = 300
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) <= most {
		return text
	}
	end := most
	for text[end]&0xC0 == 0x80 { // within a character
		end--
	}
	return text[:end] + "…"
}
