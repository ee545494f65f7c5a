package mercure

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

const (
	// maxMatchers is how many topic matchers a subscriber may have, and maxMatcherBytes how many bytes these may have together.
	maxMatchers     = 1000
	maxMatcherBytes = 64 << 10
	// maxAnonymous is how many of them may be patterns if it has no token.
	maxAnonymous = 100
)

const (
	// maxTurns is how many subscribers may wait until their matchers are compiled, and turnTimeout is for how long.
	maxTurns    = 1000
	turnTimeout = 10 * time.Second
)

// inTurn compiles the matchers of a subscriber. That may take a fifth of a second, so subscribers take turns, by their addresses, and leave
// half of the processors to others.
func (e *endpoint) inTurn(
	ctx context.Context, address string, compile func() (*matcher.Set, *problem.Problem),
) (*matcher.Set, *problem.Problem) {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	if e.turns.Enter(ctx, address) != nil {
		p := problem.New(http.StatusServiceUnavailable, "too many subscribers wait until their matchers are compiled")
		p.Again = "patterns"
		return nil, p
	}
	defer e.turns.Leave(address)
	return compile()
}

// askedTopics returns the matchers of a subscriber.
func (e *endpoint) askedTopics(a asked, params url.Values) (*matcher.Set, *problem.Problem) {
	var all []matcher.Matcher
	size, patterns := 0, 0
	add := func(name string, compile func(text string) (matcher.Matcher, error)) *problem.Problem {
		if len(all)+len(params[name]) > maxMatchers {
			return e.invalidRequest("a subscriber may have at most 1000 topic matchers")
		}
		for _, text := range params[name] {
			if size += len(text); size > maxMatcherBytes {
				return e.invalidRequest("topic matchers must not have more than 64 KiB together")
			}
			one, err := compile(text)
			if err != nil {
				return e.invalidRequest(name + " " + err.Error())
			}
			if one.Pattern() != nil {
				patterns++
			}
			if patterns > maxAnonymous && a.grant == nil {
				return e.invalidRequest("a subscriber without a token may have at most 100 patterns")
			}
			all = append(all, one)
		}
		return nil
	}
	if a.version == access.V0 {
		if p := add("topic", matcher.Selector); p != nil {
			return nil, p
		}
		return matcher.NewSet(all...), nil
	}
	for _, param := range matchParams {
		if p := add(param.name, func(text string) (matcher.Matcher, error) { return e.base.Matcher(param.kind, text) }); p != nil {
			return nil, p
		}
	}
	return matcher.NewSet(all...), nil
}

// matchers returns what the hub is to match for a subscriber.
func (a *asked) matchers() *hub.Matchers {
	found := &hub.Matchers{Names: a.topics.Names(), Size: int64(a.grant.Size())}
	for _, p := range a.topics.Patterns() {
		found.Patterns = append(found.Patterns, p)
		found.Size += int64(p.Size())
	}
	if a.grant.Subscribes() {
		found.Granted = a.grant
	}
	return found
}
