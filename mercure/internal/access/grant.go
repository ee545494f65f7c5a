package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
)

// maxMatchers is how many topic matchers a token may have.
const maxMatchers = 1000

// Grant is what a valid token lets its bearer do. A nil Grant is that of a client without a token: it grants nothing.
type Grant struct {
	Subject string // the claim sub; "" if there is none

	proof              *identity.Grant
	publish, subscribe *matcher.Set
	payloads           []payload // in the token's order; none unless the keyring keeps them
}

// payload is what a token says about subscriptions with some matchers.
type payload struct {
	topics *matcher.Set
	json   json.RawMessage // nil if there is none
}

// Grants reports whether the bearer may hear private updates of a topic. It implements hub.Granted.
func (g *Grant) Grants(topic string) bool { return g != nil && g.subscribe.Match(topic) }

// Effort returns about how long Grants may take, in tenths of a microsecond.
func (g *Grant) Effort() int {
	if g == nil {
		return 0
	}
	return g.subscribe.Effort()
}

// Subscribes reports whether the bearer may hear any private update.
func (g *Grant) Subscribes() bool { return g != nil && g.subscribe.Len() > 0 }

// Subscriptions returns the topics whose private updates the bearer may hear.
func (g *Grant) Subscriptions() *matcher.Set {
	if g == nil {
		return nil
	}
	return g.subscribe
}

// PayloadOf returns what the token says about a subscription with a matcher; nil if it says nothing. The first entry counts that matches
// the matcher's text as if that were a topic, or has the matcher itself.
func (g *Grant) PayloadOf(m matcher.Matcher) json.RawMessage {
	if g == nil {
		return nil
	}
	for _, p := range g.payloads {
		if slices.Contains(p.topics.Matchers(), m) || p.topics.Match(m.Text()) {
			return p.json
		}
	}
	return nil
}

// Publishes reports whether the bearer may publish to a topic.
func (g *Grant) Publishes(topic string) bool { return g != nil && g.publish.Match(topic) }

// Proof returns what a stream keeps of the token: until when it is valid, and what vouches for it.
func (g *Grant) Proof() *identity.Grant {
	if g == nil {
		return nil
	}
	return g.proof
}

// Size returns how many bytes a stream is charged for the grant.
func (g *Grant) Size() int {
	if g == nil {
		return 0
	}
	n := len(g.Subject) + g.subscribe.Size() + g.publish.Size()
	for _, p := range g.payloads {
		n += len(p.json) + p.topics.Size()
	}
	return n
}

// readGrant reads the claims of a token that has been verified.
func (ring *Keyring) readGrant(v Version, claims object) (*Grant, error) {
	r := reader{base: ring.base, keep: ring.payloads, left: maxMatchers}
	var err error
	if v == V0 {
		err = r.legacy(claims)
	} else {
		err = r.details(claims["authorization_details"])
	}
	if err != nil {
		return nil, err
	}
	g := &Grant{publish: matcher.NewSet(r.publish...), subscribe: matcher.NewSet(r.subscribe...), payloads: r.payloads}
	g.Subject, _ = claims["sub"].text()
	return g, nil
}

// reader reads a grant. Any entry that is not as it should be makes the whole token invalid: without that entry, it would grant
// something else than its issuer meant.
type reader struct {
	base               *matcher.Base
	keep               bool // payloads
	left               int  // how many more matchers there may be
	publish, subscribe []matcher.Matcher
	payloads           []payload
}

var (
	errTooMany = errors.New("it has too many topics")
	errClaim   = errors.New("its claim mercure has a wrong form")
	errDetails = errors.New("its authorization_details have a wrong form")
)

// legacyClaims are the names of the claim of version 0.x.
var legacyClaims = []string{"mercure", "https://mercure.rocks/"}

// legacy reads the claim of version 0.x.
func (r *reader) legacy(claims object) error {
	var claim value
	for _, name := range legacyClaims {
		switch v, given := claims[name]; {
		case given && claim != nil:
			return errors.New("it has the claim mercure under both of its names")
		case given:
			claim = v
		}
	}
	if claim == nil {
		return nil
	}
	if claim[0] != '{' {
		return errClaim
	}
	o, err := claim.object()
	if err != nil {
		return err
	}
	if r.publish, err = r.selectors(o["publish"]); err != nil {
		return err
	}
	if r.subscribe, err = r.selectors(o["subscribe"]); err != nil {
		return err
	}
	if text, given := o["payload"]; given && r.keep {
		r.payloads = []payload{{matcher.NewSet(matcher.Any), bytes.Clone(text)}}
	}
	return nil
}

// selectors reads a list of topic selectors of version 0.x. A list that is absent or null grants nothing.
func (r *reader) selectors(list value) (found []matcher.Matcher, err error) {
	if list == nil || list[0] == 'n' {
		return nil, nil
	}
	items, ok := list.items()
	if !ok {
		return nil, errClaim
	}
	if r.left -= len(items); r.left < 0 {
		return nil, errTooMany
	}
	for _, item := range items {
		text, ok := item.text()
		if !ok {
			return nil, errClaim
		}
		s, err := matcher.Selector(text)
		if err != nil {
			return nil, errClaim
		}
		found = append(found, s)
	}
	return found, nil
}

// DetailType is the type of authorization details that are Mercure's.
const DetailType = "https://mercure.rocks/authorization-detail"

// details reads the authorization details of version 1.0. Details of other types are not this hub's.
func (r *reader) details(list value) error {
	if list == nil {
		return nil
	}
	items, ok := list.items()
	if !ok {
		return errDetails
	}
	for _, item := range items {
		if item[0] != '{' {
			return errDetails
		}
		o, err := item.object()
		if err != nil {
			return err
		}
		kind, ok := o["type"].text()
		if !ok {
			return errDetails
		}
		if kind != DetailType {
			continue
		}
		if err := r.detail(o); err != nil {
			return err
		}
	}
	return nil
}

// detail reads one authorization detail.
func (r *reader) detail(o object) error {
	actions, ok := o["actions"].items()
	if !ok || len(actions) == 0 {
		return errDetails
	}
	topics, err := r.topics(o["topics"])
	if err != nil {
		return err
	}
	about, given := o["payload"]
	if given && about[0] != '{' {
		return errDetails
	}
	for _, action := range actions {
		switch name, ok := action.text(); {
		case !ok:
			return errDetails
		case name == "publish":
			r.publish = append(r.publish, topics...)
		case name == "subscribe":
			r.subscribe = append(r.subscribe, topics...)
			if r.keep {
				r.payloads = append(r.payloads, payload{matcher.NewSet(topics...), bytes.Clone(about)})
			}
		}
	}
	return nil
}

// topics reads the topic matchers of an authorization detail.
func (r *reader) topics(list value) (found []matcher.Matcher, err error) {
	items, ok := list.items()
	if !ok || len(items) == 0 {
		return nil, errDetails
	}
	if r.left -= len(items); r.left < 0 {
		return nil, errTooMany
	}
	for _, item := range items {
		if item[0] != '{' {
			return nil, errDetails
		}
		o, err := item.object()
		if err != nil {
			return nil, err
		}
		text, ok := o["match"].text()
		kind, typed := o["match_type"].text()
		if _, given := o["match_type"]; !ok || given && (!typed || kind == "") {
			return nil, errDetails
		}
		matching, err := r.base.Matcher(kind, text)
		if err != nil {
			return nil, errDetails
		}
		found = append(found, matching)
	}
	return found, nil
}
