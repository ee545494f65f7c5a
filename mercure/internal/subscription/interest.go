package subscription

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/matcher"
)

// interest is what somebody would be told of: topics that both matchers match, one of a subscription and one of a grant.
type interest struct{ listened, granted matcher.Matcher }

// maxInterests bounds the interests of one client. Beyond that, its grants count as if they were for all topics.
const maxInterests = 64

func (i interest) match(topic string) bool {
	return i.listened.Match(topic) && (i.granted == i.listened || i.granted.Match(topic))
}

// exact returns the topic that the interest names; "" if it has none.
func (i interest) exact() string {
	if i.listened.Pattern() == nil {
		return i.listened.Text()
	}
	return ""
}

// anySubscriber are patterns, and templates, that match whatever stands for the subscriber in a topic, or nothing.
var anySubscriber = regexp.MustCompile(`^\*$|/\*$|/:[A-Za-z_][A-Za-z_0-9]*$|\{/:[A-Za-z_][A-Za-z_0-9]*\}\?$|/\{[A-Za-z_][A-Za-z_0-9]*\}$`)

// general reports whether the interest makes no difference between the subscribers of a subject.
func (i interest) general() bool {
	return anySubscriber.MatchString(i.listened.Text()) && anySubscriber.MatchString(i.granted.Text())
}

// literal returns what stands for the match in all topics that the interest is in; "" if that is not clear from its text.
func (i interest) literal(root string) string {
	rest, ok := strings.CutPrefix(i.listened.Text(), root+"/")
	if !ok || i.listened.Type() != matcher.TypeURLPattern {
		return ""
	}
	kind, rest, ok := strings.Cut(rest, "/")
	if !ok || strings.ContainsAny(kind, "{}()*?+\\") {
		return ""
	}
	n := 0
	for n < len(rest) && (isUnreserved(rest[n]) || rest[n] == '%') {
		n++
	}
	if n == 0 || rest[0] == '.' || strings.HasPrefix(strings.ToLower(rest), "%2e") { // dots may be no segment of their own
		return ""
	}
	if end := rest[n:]; end != "" && end[0] != '/' && !strings.HasPrefix(end, "{/:") {
		return ""
	}
	return rest[:n]
}

// interests returns the interests of a client that listens to topics and is granted others. root is the path of all subscriptions.
func interests(root string, listened, granted *matcher.Set) (list []interest) {
	grants := reaching(root, granted)
	seen := map[interest]bool{}
	add := func(i interest) {
		if !seen[i] {
			seen[i] = true
			list = append(list, i)
		}
	}
	for _, m := range reaching(root, listened) {
		if m.Pattern() == nil {
			if granted.Match(m.Text()) {
				add(interest{m, m})
			}
			continue
		}
		if covers(grants, m) {
			add(interest{m, m})
			continue
		}
		for _, g := range grants {
			if m == matcher.Any || g.Pattern() == nil && m.Match(g.Text()) {
				add(interest{g, g})
			} else if g.Pattern() != nil {
				add(interest{m, g})
			}
		}
	}
	if len(list) <= maxInterests {
		return list
	}
	list = list[:0]
	clear(seen)
	for _, m := range reaching(root, listened) {
		add(interest{m, m})
	}
	return list
}

// covers reports whether one of some matchers matches all that m does.
func covers(all []matcher.Matcher, m matcher.Matcher) bool {
	for _, g := range all {
		if g == m || g.Pattern() == matcher.All {
			return true
		}
	}
	return false
}

// reaching returns the matchers of a set that may match topics below a path.
func reaching(path string, s *matcher.Set) (list []matcher.Matcher) {
	below := path + "/"
	for _, m := range s.Matchers() {
		p := m.Pattern()
		switch {
		case p == matcher.All:
			m = matcher.Any
		case p == nil && !strings.HasPrefix(m.Text(), below):
			continue
		case p != nil:
			spelled := p.Space().Spell(below)
			if !strings.HasPrefix(spelled, p.Prefix()) && !strings.HasPrefix(p.Prefix(), spelled) {
				continue
			}
		}
		list = append(list, m)
	}
	return list
}

// text returns the interest as other nodes read it.
func (i interest) text() string {
	parts := []string{i.listened.Type(), i.listened.Text()}
	if i.granted != i.listened {
		parts = append(parts, i.granted.Type(), i.granted.Text())
	}
	return string(encode(parts))
}

// readInterest reads the text of an interest.
func readInterest(base *matcher.Base, text string) (i interest, ok bool) {
	var parts []string
	if json.Unmarshal([]byte(text), &parts) != nil || len(parts) != 2 && len(parts) != 4 {
		return i, false
	}
	var found [2]matcher.Matcher
	for n := 0; n < len(parts); n += 2 {
		var err error
		if parts[n] == matcher.TypeTemplate {
			found[n/2], err = matcher.Selector(parts[n+1])
		} else {
			found[n/2], err = base.Matcher(parts[n], parts[n+1])
		}
		if err != nil {
			return i, false
		}
	}
	if len(parts) == 2 {
		found[1] = found[0]
	}
	return interest{found[0], found[1]}, true
}

// everything is the interest in all topics.
var everything = interest{matcher.Any, matcher.Any}
