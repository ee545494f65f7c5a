// Package subscription tells which topics a hub's Mercure clients are subscribed to, by updates when that changes and by lists.
//
// The log is what nodes share: an update that a subscription is active or has ended is an event of it, and every node remembers the
// subscriptions that it says are active. So any node can end those of a node that is gone. A subscription of which nobody would be told
// makes no event. Who would be is the audience, which nodes tell each other through the broker's directory. It outlives its clients by
// some minutes, so that those who come back have missed nothing. An audience that is new to a node is told of what is active there.
package subscription

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// Subscription is one topic matcher of one subscriber.
type Subscription struct {
	Version    access.Version
	MatchType  string // of version 1.0
	Match      string
	Subscriber string
	Payload    json.RawMessage // nil for none
}

// contextURL is the JSON-LD context of version 0.x.
const contextURL = "https://mercure.rocks/"

// document is how a subscription is told of, in either version.
type document struct {
	Context    string          `json:"@context,omitempty"` // of 0.x, unless what it stands in has one
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Topic      string          `json:"topic,omitempty"`      // of 0.x
	MatchType  string          `json:"match_type,omitempty"` // of 1.0
	Match      string          `json:"match,omitempty"`      // of 1.0
	Subscriber string          `json:"subscriber"`
	Active     bool            `json:"active"`
	Payload    json.RawMessage `json:"payload,omitempty"`

	LastEventID string `json:"lastEventID,omitempty"` // of 0.x, at the root of an answer
}

// typeNames are the types of documents, by version.
var typeNames = [...]string{access.V0: "Subscription", access.V1: "subscription"}

// Below returns the path of something below a path; each part is encoded as a whole.
func Below(path string, parts ...string) string {
	text := []byte(path)
	for _, part := range parts {
		text = append(text, '/')
		text = appendEncoded(text, part)
	}
	return string(text)
}

func appendEncoded(dst []byte, part string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(part) {
		if c := part[i]; isUnreserved(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// isUnreserved reports whether a URL has a character as it is (RFC 3986).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// topic returns the topic of the updates about the subscription. root is the path of all subscriptions.
func (s *Subscription) topic(root string) string {
	if s.Version == access.V0 {
		return Below(root, s.Match, s.Subscriber)
	}
	return Below(root, s.MatchType, s.Match, s.Subscriber)
}

// document returns the document of the subscription.
func (s *Subscription) document(root string, active bool) document {
	d := document{ID: s.topic(root), Type: typeNames[s.Version], Subscriber: s.Subscriber, Active: active, Payload: s.Payload}
	if s.Version == access.V0 {
		d.Topic = s.Match
	} else {
		d.MatchType, d.Match = s.MatchType, s.Match
	}
	return d
}

// update returns the data of an update about the subscription.
func (s *Subscription) update(root string, active bool) []byte {
	d := s.document(root, active)
	if s.Version == access.V0 {
		d.Context = contextURL
	}
	return encode(d)
}

// read reads the data of an update of a topic, and reports whether it is about that topic.
func read(root, topic string, data []byte) (s Subscription, active, ok bool) {
	var d document
	if json.Unmarshal(data, &d) != nil {
		return s, false, false
	}
	s = Subscription{Version: access.V1, MatchType: d.MatchType, Match: d.Match, Subscriber: d.Subscriber, Payload: d.Payload}
	if d.Type == typeNames[access.V0] {
		s.Version, s.Match = access.V0, d.Topic
	}
	return s, d.Active, s.topic(root) == topic
}

// encode returns a value as JSON without escaping what only HTML needs escaped.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // texts, and JSON that was read as such
		panic(err)
	}
	return bytes.ToValidUTF8(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\uFFFD"))
}

// subject is what is subscribed to, no matter by which subscriber.
type subject struct {
	version access.Version
	matcher matcher.Matcher
}

// by returns the subscription of a subscriber to the subject.
func (s subject) by(subscriber string, g *access.Grant) *Subscription {
	return &Subscription{
		Version: s.version, MatchType: s.matcher.Type(), Match: s.matcher.Text(), Subscriber: subscriber, Payload: g.PayloadOf(s.matcher),
	}
}
