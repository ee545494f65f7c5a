package sitetest_test

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Two routes of one path share nothing: what leads to one of them may be more than what their requests have in common.
func TestSourcesOfTwoRoutesApart(t *testing.T) {
	inner, outer := sitetest.NewStreamer(t), sitetest.NewStreamer(t)
	s := sitetest.Serve(t, "@inner header X-Inner yes\nhandle @inner {\n"+shared(inner, "", "share everyone")+"\n}\n"+
		"handle {\n"+shared(outer, "", "share everyone")+"\n}")
	a := opening(s, "/clock", "X-Inner", "yes")
	inner.Next().Send("data: secret\n\n")
	(<-a).Begin().Want("secret")
	b, again := opening(s, "/clock"), opening(s, "/clock", "X-Inner", "yes")
	outer.Next().Send("data: public\n\n")
	(<-b).Begin().Want("public")
	(<-again).Begin().Want("secret")
	for _, app := range []*sitetest.Streamer{inner, outer} {
		if total, _, _ := app.Counts(); total != 1 {
			t.Errorf("an app got %d requests", total)
		}
	}
}

// A client that comes back before the app has sent anything gets no gap: nothing is missing.
func TestSourceIsSilentAtFirst(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, shared(app, "", "share everyone"))
	first := opening(s, "/clock?other")
	other := app.Next()
	other.Send("data: of another source\n\n") // whose place in the log is before the one that follows
	(<-first).Begin().Want("of another source")
	c := opening(s, "/clock")
	upstream := app.Next()
	client := (<-c).Begin()
	client.Close()
	back := s.Resume("/clock", client.LastID)
	upstream.Send("data: one\n\n")
	back.Want("one")
}

// The app is asked for nothing on behalf of a user who is denied.
func TestSourceOfDeniedUser(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, shared(app, "user query userId", ""))
	steer(s, "DELETE", "users/u1?deny=1m", "")
	c := s.Stream("GET", "/clock?userId=u1", "", "Accept", sitetest.EventStream, "Cookie", "session=1")
	if total, _, _ := app.Counts(); c.Status != 204 || total != 0 {
		t.Errorf("got status %d, after %d requests to the app", c.Status, total)
	}
}

// When a reload puts two routes of one path in another order, or lets others in, nobody hears the stream of another route: those who
// listen go on by their own, or come again.
func TestSourcesOfRoutesThatChangePlaces(t *testing.T) {
	for name, matchers := range map[string][2]string{
		"in another order":          {"header X-Inner yes", "not header X-Inner yes"},
		"only one has a matcher":    {"header X-Inner yes", ""},
		"both by what they exclude": {"not header X-Outer yes", "not header X-Inner yes"},
	} {
		t.Run(name, func(t *testing.T) {
			inner, outer := sitetest.NewStreamer(t), sitetest.NewStreamer(t)
			handle := func(name, matcher string, app *sitetest.Streamer) string {
				if matcher == "" {
					return "route {\n" + shared(app, "", "share everyone") + "\n}\n"
				}
				return "@" + name + " " + matcher + "\nroute @" + name + " {\n" + shared(app, "", "share everyone") + "\n}\n"
			}
			first, second := handle("inner", matchers[0], inner), handle("outer", matchers[1], outer)
			sites := sitetest.ServeAll(t, "route {\n"+first+second+"\n}")
			s := sites[0]
			a, secret := begun(s, inner, "/clock", "data: one\n\n", "X-Inner", "yes")
			b, public := begun(s, outer, "/clock", "data: one\n\n", "X-Outer", "yes")
			sitetest.MustLoad(t, sites, "route {\n"+second+first+"\n}")
			secret.Send("data: secret\n\n")
			public.Send("data: public\n\n")
			a.Want("secret")
			b.Want("public")
			want := "secret"
			if matchers[1] == "" {
				want = "public" // all requests go to the outer one now
			}
			s.Open("/clock", "X-Inner", "yes").Want(want)
			s.Open("/clock", "X-Outer", "yes").Want("public")
		})
	}
}
