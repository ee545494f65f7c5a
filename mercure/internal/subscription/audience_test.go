package subscription

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

const root = "/.well-known/mercure/subscriptions"

// set returns matchers of URL patterns, and of exact topics if they have no wildcard.
func set(t *testing.T, base *matcher.Base, texts ...string) *matcher.Set {
	t.Helper()
	var all []matcher.Matcher
	for _, text := range texts {
		kind := matcher.TypeExact
		if slices.Contains([]byte(text), ':') {
			kind = matcher.TypeURLPattern
		}
		m, err := base.Matcher(kind, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return matcher.NewSet(all...)
}

// An audience hears what it both listens to and is granted, for as long as it is there and five minutes longer. What other nodes say
// does not make this node say it back to them.
func TestAudience(t *testing.T) {
	base, err := matcher.NewBase("https://hub.example.com/.well-known/mercure")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a := newAudience(root)
	room := root + "/:type/room{/:subscriber}?"
	of := func(match string) (string, *standing) {
		s := subject{access.V1, set(t, base, match).Matchers()[0]}
		topic := s.by("urn:uuid:1", nil).topic(root)
		return topic, &standing{match: match, probe: topic}
	}
	hears := func(match string) bool { return a.hears(of(match)) }
	list := interests(root, set(t, base, room, "elsewhere"), set(t, base, room, "https://x/:id"))
	if len(list) != 1 || list[0].literal(root) != "room" || !list[0].general() {
		t.Fatalf("the interests are %v", list)
	}
	if again, ok := readInterest(base, list[0].text()); !ok || again != list[0] {
		t.Errorf("%s is read as %v", list[0].text(), again)
	}
	if hears("room") {
		t.Error("an audience that is not there hears something")
	}
	if !a.enter(list, true, now) || a.enter(list, true, now) {
		t.Error("the first of two is not the new one")
	}
	if !hears("room") || hears("other") || len(a.ownInterests()) != 1 {
		t.Error("the audience does not hear what it is for")
	}
	a.leave(map[interest]int{list[0]: 2}, now)
	a.expire(now.Add(keepTime - time.Second))
	if !hears("room") {
		t.Error("it was forgotten at once")
	}
	a.add(list[0], false, now.Add(keepTime)) // another node has it
	a.expire(now.Add(keepTime + time.Second))
	if !hears("room") || len(a.ownInterests()) != 0 {
		t.Error("an audience of another node counts as one of this")
	}
	a.expire(now.Add(2*keepTime + time.Second))
	if hears("room") || len(a.known) != 0 || len(a.literal) != 0 {
		t.Error("it was not forgotten")
	}

	// Matchers of all, and of less than is granted.
	for _, c := range []struct {
		listened, granted []string
		hears             bool
	}{
		{[]string{"*"}, []string{"*"}, true},
		{[]string{"*"}, []string{room}, true},
		{[]string{"*"}, []string{"https://x/:id"}, false},
		{[]string{"*"}, nil, false},
		{[]string{root + "/:type/:match/:subscriber"}, []string{room}, true},
		{[]string{root + "/exact/room/urn%3Auuid%3A1"}, []string{room}, true},
		{[]string{root + "/exact/room/urn%3Auuid%3A2"}, []string{room}, false},
		{[]string{root + "/exact/:match/urn%3Auuid%3A1"}, []string{"*"}, true},
		{[]string{root + "/exact/:match/urn%3Auuid%3A2"}, []string{"*"}, false},
		{[]string{root + "/urlpattern/:match/:subscriber"}, []string{"*"}, false},
	} {
		a = newAudience(root)
		a.enter(interests(root, set(t, base, c.listened...), set(t, base, c.granted...)), true, now)
		if hears("room") != c.hears {
			t.Errorf("%q with %q: hears %v", c.listened, c.granted, !c.hears)
		}
	}
}

// A client whose interests found no room does not take away the same interests of another, which came when there was room again.
func TestFullAudience(t *testing.T) {
	base, err := matcher.NewBase("https://hub.example.com/.well-known/mercure")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a := newAudience(root)
	for n := range maxAudience {
		a.enter(interests(root, set(t, base, root+"/exact/"+strconv.Itoa(n)+"/x"), matcher.NewSet(matcher.Any)), false, now)
	}
	room := root + "/:type/room/:subscriber"
	early := interests(root, set(t, base, room), set(t, base, room))
	a.enter(early, true, now)
	if !a.hears(root+"/exact/other/x", &standing{}) {
		t.Error("what found no room does not count as everything")
	}
	now = now.Add(keepTime)
	a.expire(now)
	late := interests(root, set(t, base, room), set(t, base, room))
	a.enter(late, true, now)
	a.leave(map[interest]int{early[0]: 1}, now)
	now = now.Add(keepTime)
	a.expire(now)
	if !a.hears(root+"/exact/room/x", &standing{match: "room"}) || a.hears(root+"/exact/other/x", &standing{}) {
		t.Errorf("the audience is %v", a.ownInterests())
	}
	a.leave(map[interest]int{late[0]: 1}, now)
	if a.expire(now.Add(keepTime)); len(a.known) != 0 {
		t.Errorf("nobody is left of %v", a.known)
	}
}
