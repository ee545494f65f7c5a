package sitetest_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A user who is proved by a ticket or a token is a credential: that user's tabs share a stream, and nobody else does.
func TestSourceOfProvedUser(t *testing.T) {
	token := func(user string, life time.Duration) string {
		claims := jwt.MapClaims{"sub": user, "exp": time.Now().Add(life).Unix()}
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secretA))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	tickets := "user ticket " + secretA
	tokens := "user jwt {\nsecret " + secretA + "\nfrom header Authorization\nfrom query token\n}"
	ann, annLater, ben := ticketFor("ann", time.Minute), ticketFor("ann", time.Hour), ticketFor("ben", time.Minute)
	for _, c := range []struct {
		name, more, options string
		targets             [2]string
		headers             [2][]string
		share               bool
	}{
		{name: "one ticket", more: tickets, targets: [2]string{"?ticket=" + ann, "?ticket=" + ann}, share: true},
		{name: "two tickets of a user, all of the query counts", more: tickets, targets: [2]string{"?ticket=" + ann, "?ticket=" + annLater}},
		{name: "two tickets of a user", more: tickets, options: "query zone", targets: [2]string{"?zone=1&ticket=" + ann, "?zone=1&ticket=" + annLater}, share: true},
		{name: "another zone", more: tickets, options: "query zone", targets: [2]string{"?zone=1&ticket=" + ann, "?zone=2&ticket=" + ann}},
		{name: "tickets of two users", more: tickets, options: "query zone", targets: [2]string{"?ticket=" + ann, "?ticket=" + ben}},
		{name: "a ticket and a forged name", more: tickets + "\nuser query userId", options: "query zone", targets: [2]string{"?ticket=" + ann, "?userId=ann"}},
		{name: "a ticket and nobody", more: tickets, options: "query zone", targets: [2]string{"?ticket=" + ann, ""}},
		{name: "two users, for everyone", more: tickets, options: "share everyone\nquery zone", targets: [2]string{"?ticket=" + ann, "?ticket=" + ben}, share: true},
		{name: "two tokens of a user", more: tokens, options: "query zone",
			targets: [2]string{"?token=" + token("ann", time.Minute), "?token=" + token("ann", time.Hour)}, share: true},
		{name: "tokens of two users", more: tokens, options: "query zone", targets: [2]string{"?token=" + token("ann", time.Minute), "?token=" + token("ben", time.Minute)}},
		{name: "one token in Authorization", more: tokens,
			headers: [2][]string{{"Authorization", "Bearer " + token("ann", time.Minute)}, {"Authorization", "Bearer " + token("ann", time.Minute)}}, share: true},
		{name: "two tokens in Authorization, which counts itself", more: tokens,
			headers: [2][]string{{"Authorization", "Bearer " + token("ann", time.Minute)}, {"Authorization", "Bearer " + token("ann", time.Hour)}}},
		{name: "a ticket and a cookie of that text", more: tickets + "\nuser query userId", options: "query zone",
			targets: [2]string{"?ticket=" + ann, "?userId=ann"}, headers: [2][]string{nil, {"Cookie", "ann"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := sitetest.NewStreamer(t)
			s := sitetest.Serve(t, shared(app, c.more, c.options))
			first, upstream := begun(s, app, "/clock"+c.targets[0], "data: one\n\n", c.headers[0]...)
			coming := opening(s, "/clock"+c.targets[1], c.headers[1]...)
			if c.share {
				(<-coming).Begin().Want("one")
				if total, _, _ := app.Counts(); total != 1 {
					t.Errorf("the app got %d requests", total)
				}
				return
			}
			other := app.Next()
			other.Send("data: two\n\n")
			second := <-coming
			m := second.Next()
			if m.Type == "sse:connected" { // it is a source as well; otherwise it was passed on unshared
				m = second.Next()
			}
			if m.Data != "two" {
				t.Errorf("the second got %q", m)
			}
			upstream.Send("data: for the first\n\n")
			first.Want("for the first")
		})
	}
}

// The app is not asked on behalf of a client whose proof does not hold.
func TestSourceOfFalseProof(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, shared(app, "user ticket "+secretA, "query zone"))
	for name, text := range map[string]string{
		"expired": ticketFor("ann", -time.Minute), "nonsense": "x",
		"another's secret": ticket(secretB, map[string]any{"user": "ann", "exp": time.Now().Unix() + 60}),
	} {
		a := s.Do("GET", "/clock?ticket="+text, "", "Accept", sitetest.EventStream, "Cookie", "session=1")
		if total, _, _ := app.Counts(); a.Status != http.StatusUnauthorized || total != 0 {
			t.Errorf("%s: got %d, after %d requests to the app", name, a.Status, total)
		}
	}
}

// Logout, by the internal route, ends what a ticket has opened, and nothing else.
func TestSourceLogoutOfTicket(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, shared(app, "user ticket "+secretA, "query zone\nlinger 1m"))
	clients, streams := map[string]*sitetest.Client{}, map[string]*sitetest.Streamed{}
	for _, user := range []string{"ann", "ben"} {
		clients[user], streams[user] = begun(s, app, fmt.Sprintf("/clock?ticket=%s", ticketFor(user, time.Minute)), "data: one\n\n")
	}
	steer(s, "DELETE", "users/ann", "")
	clients["ann"].WantClosing("disconnected")
	streams["ann"].WantClosed()
	wantSources(t, 1)
	streams["ben"].Send("data: two\n\n")
	clients["ben"].Want("two")
}
