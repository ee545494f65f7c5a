package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
)

const (
	secretA = "a-secret-of-thirty-two-bytes-or-more"
	secretB = "another-one-which-is-as-long-as-that"
)

// ticketOf signs a payload as an app does.
func ticketOf(secret, payload string) string {
	signed := "sse1." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	return signed + "." + signatureOf(secret, signed)
}

func signatureOf(secret, signed string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return hex.EncodeToString(mac.Sum(nil))
}

func newTickets(t testing.TB, config Ticket) *ticketVerifier {
	t.Helper()
	if err := config.Check(); err != nil {
		t.Fatal(err)
	}
	return newTicketVerifier(&config)
}

// wantRefusal compares a refusal with what the client and the log are told; the cause "" stands for no refusal.
func wantRefusal(t *testing.T, err error, status int, public, cause string) {
	t.Helper()
	var e *refusal
	switch {
	case cause == "" && err != nil:
		t.Errorf("refused: %v", err)
	case cause != "" && !errors.As(err, &e):
		t.Errorf("got %v, want a refusal: %s", err, cause)
	case cause != "" && (e.status != status || e.public != public || !strings.Contains(e.cause, cause)):
		t.Errorf("got %d %q, for the log %q; want %d %q %q", e.status, e.public, e.cause, status, public, cause)
	}
}

func TestTicket(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	v := newTickets(t, Ticket{Secrets: []string{secretA, secretB}})
	hour := in(time.Hour)
	long := strings.Repeat("a", 256)

	for name, test := range map[string]struct {
		text          string
		user          string
		topics        []string
		public, cause string
	}{
		"a user":               {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, hour)), user: "u1"},
		"by the second secret": {text: ticketOf(secretB, fmt.Sprintf(`{"user":"u1","exp":%d}`, hour)), user: "u1"},
		// Made by PHP, with the line in docs/reference/directive.md.
		"of PHP": {
			text: "sse1.eyJ1c2VyIjoiWm9cdTAwZWJcLzEiLCJ0b3BpY3MiOlsib3JkZXJzXC83Il0sImV4cCI6MTgwMDAwMzYwMH0.fff1ad5590d1a8a7c46512de571974feec368ac0b41dbe78da6f364efdf49e3d",
			user: "Zoë/1", topics: []string{"orders/7"},
		},
		"a number for a user":        {text: ticketOf(secretA, fmt.Sprintf(`{"user":42,"exp":%d}`, hour)), user: "42"},
		"topics":                     {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","topics":["a\/b","c/*"],"exp":%d}`, hour)), user: "u1", topics: []string{"a/b", "c/*"}},
		"a clock some minutes early": {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, in(time.Hour-5*time.Minute))), user: "u1"},
		"a clock some minutes late":  {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, in(time.Hour+5*time.Minute))), user: "u1"},

		"expired by a clock that is minutes early": {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, in(-4*time.Minute))), public: "expired", cause: "expired"},
		"expired now":         {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, in(0))), public: "expired", cause: "expired"},
		"valid for too long":  {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, in(25*time.Hour))), public: "invalid", cause: "longer than max_age"},
		"in milliseconds":     {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, hour*1000)), public: "invalid", cause: "exp"},
		"without exp":         {text: ticketOf(secretA, `{"user":"u1"}`), public: "invalid", cause: "exp is missing"},
		"exp as a string":     {text: ticketOf(secretA, `{"user":"u1","exp":"1800003600"}`), public: "invalid", cause: "not an object with"},
		"exp not whole":       {text: ticketOf(secretA, `{"user":"u1","exp":1800003600.5}`), public: "invalid", cause: "not an object with"},
		"without a user":      {text: ticketOf(secretA, fmt.Sprintf(`{"exp":%d}`, hour)), public: "invalid", cause: "user must be"},
		"user null":           {text: ticketOf(secretA, fmt.Sprintf(`{"user":null,"exp":%d}`, hour)), public: "invalid", cause: "user must not be empty"},
		"user of a list":      {text: ticketOf(secretA, fmt.Sprintf(`{"user":["u1"],"exp":%d}`, hour)), public: "invalid", cause: "user must be"},
		"user with a newline": {text: ticketOf(secretA, fmt.Sprintf(`{"user":"a\nb","exp":%d}`, hour)), public: "invalid", cause: "control characters"},
		"user too long":       {text: ticketOf(secretA, fmt.Sprintf(`{"user":%q,"exp":%d}`, long, hour)), public: "invalid", cause: "longer than"},
		"a bad topic":         {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","topics":["a*"],"exp":%d}`, hour)), public: "invalid", cause: "a topic * must stand alone"},
		"too many topics":     {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","topics":[%s"a"],"exp":%d}`, strings.Repeat(`"a",`, 100), hour)), public: "invalid", cause: "more than 100 topics"},
		"a field misspelt":    {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","topic":["a"],"exp":%d}`, hour)), public: "invalid", cause: "not an object with"},
		"two objects":         {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}{}`, hour)), public: "invalid", cause: "follows the payload"},
		"another secret":      {text: ticketOf(secretA+"x", fmt.Sprintf(`{"user":"u1","exp":%d}`, hour)), public: "invalid", cause: "none of the secrets"},
		"an empty secret":     {text: ticketOf("", fmt.Sprintf(`{"user":"u1","exp":%d}`, hour)), public: "invalid", cause: "none of the secrets"},
		"no ticket":           {text: "u1", public: "invalid", cause: "not of the form"},
		"nothing but dots":    {text: "sse1..", public: "invalid", cause: "not of the form"},
		"too long":            {text: "sse1." + strings.Repeat("a", maxTicket), public: "invalid", cause: "too long"},
		"once too long":       {text: ticketOf(secretA, fmt.Sprintf(`{"user":"u1","once":%q,"exp":%d}`, long, hour)), public: "invalid", cause: "once"},
		"signed, but no JSON": {text: ticketOf(secretA, "u1"), public: "invalid", cause: "not an object with"},
		// Nothing else that an app signs with the same secret is a ticket.
		"without the prefix under the signature": {
			text: "sse1.eyJ1c2VyIjoidTEifQ." + signatureOf(secretA, "eyJ1c2VyIjoidTEifQ"), public: "invalid", cause: "none of the secrets",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := v.read(test.text, now)
			wantRefusal(t, err, http.StatusUnauthorized, test.public, test.cause)
			if test.cause != "" {
				if g != nil {
					t.Error("refused, with a grant")
				}
			} else if g.User != test.user || !slices.Equal(g.Topics, test.topics) || g.Expires.IsZero() {
				t.Errorf("got %+v", g)
			}
		})
	}
}

// A ticket with any byte changed to any other is not valid.
func TestTicketChangedInEachByte(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	v := newTickets(t, Ticket{Secrets: []string{secretA}})
	good := ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d,"once":"n"}`, now.Unix()+60))
	if _, err := v.read(good, now); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for c := range 256 {
			if byte(c) == good[i] {
				continue
			}
			bad := good[:i] + string([]byte{byte(c)}) + good[i+1:]
			if g, err := v.read(bad, now); err == nil || g != nil {
				t.Fatalf("byte %d as %q: taken", i, byte(c))
			}
		}
		if _, err := v.read(good[:i]+good[i+1:], now); err == nil {
			t.Fatalf("without byte %d: taken", i)
		}
	}
	if _, err := v.read(strings.ToUpper(good[len(good)-64:]), now); err == nil {
		t.Error("taken")
	}
	if _, err := v.read(good[:len(good)-64]+strings.ToUpper(good[len(good)-64:]), now); err == nil {
		t.Error("a signature in upper case is taken: one ticket would have many names")
	}
}

func TestTicketCarriers(t *testing.T) {
	v := newTickets(t, Ticket{Secrets: []string{secretA}, From: []Carrier{{"query", "t"}, {"header", "authorization"}, {"cookie", "tk"}, {"header", "X-Ticket"}}})
	good := ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, time.Now().Unix()+60))
	for name, test := range map[string]struct {
		url, cause string
		header     http.Header
		absent     bool
	}{
		"nowhere":              {absent: true},
		"empty":                {url: "/?t=", absent: true},
		"the default's place":  {url: "/?ticket=" + good, absent: true},
		"query":                {url: "/?t=" + good},
		"twice":                {url: "/?t=" + good + "&t=" + good, cause: "more than once"},
		"bearer":               {header: http.Header{"Authorization": {"bearer " + good}}},
		"another scheme":       {header: http.Header{"Authorization": {"Basic " + good}}, absent: true},
		"bearer twice":         {header: http.Header{"Authorization": {"Bearer " + good, "Bearer x"}}, cause: "more than once"},
		"cookie":               {header: http.Header{"Cookie": {"a=b; tk=" + good}}},
		"header":               {header: http.Header{"X-Ticket": {good}}},
		"a bad one goes first": {url: "/?t=x", header: http.Header{"X-Ticket": {good}}, cause: "not of the form"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/"+strings.TrimPrefix(test.url, "/"), nil)
			if test.header != nil {
				r.Header = test.header
			}
			g, err := v.verify(arriving(r, r.URL.Query(), "/events"))
			wantRefusal(t, err, http.StatusUnauthorized, "invalid", test.cause)
			if want := !test.absent && test.cause == ""; (g != nil) != want {
				t.Errorf("got %+v", g)
			}
		})
	}
}

func TestTicketVouches(t *testing.T) {
	g, err := newTickets(t, Ticket{Secrets: []string{secretA}}).read(ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, time.Now().Unix()+60)), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(g.by, secretA) {
		t.Error("the secret is kept with each connection")
	}
	if !newTickets(t, Ticket{Secrets: []string{secretB, secretA}}).vouches(g.by) {
		t.Error("a secret that stays is believed no more")
	}
	if newTickets(t, Ticket{Secrets: []string{secretB}}).vouches(g.by) {
		t.Error("a secret that is gone is believed still")
	}
}

func TestTicketSecrets(t *testing.T) {
	t.Setenv("SSE_PUSH_TEST_SHORT", "short")
	t.Setenv("SSE_PUSH_TEST_SECRET", secretA+"\n")
	for _, test := range []struct{ secret, want string }{
		{"short", "must be at least 32 bytes"},
		{"", "must be at least 32 bytes"},
		{"{env.SSE_PUSH_TEST_SHORT}", "has 5 "},
		{"{env.SSE_PUSH_TEST_NONE}", "the environment variable SSE_PUSH_TEST_NONE is not set"},
		{"{env.SSE_PUSH_TEST_SECRET}", ""},
	} {
		filled, err := placeholder.FillIn(test.secret, caddy.NewReplacer())
		config := Ticket{Secrets: []string{filled}}
		if err == nil {
			err = config.Check()
		}
		if err == nil {
			_, err = newTicketVerifier(&config).read(ticketOf(secretA, fmt.Sprintf(`{"user":"u1","exp":%d}`, time.Now().Unix()+60)), time.Now())
		}
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "short")) {
			t.Errorf("%q: got %v", test.secret, err)
		}
	}
}

func FuzzTicket(f *testing.F) {
	v := newTickets(f, Ticket{Secrets: []string{secretA}})
	f.Add("u1", false)
	f.Add(ticketOf(secretA, `{"user":"u1","exp":1800000060}`), false)
	f.Add(ticketOf(secretB, `{"user":"u1","exp":1800000060}`), false)
	f.Add(`{"user":"u1","topics":["a"],"exp":1800000060,"once":"x"}`, true)
	f.Add(`{"user":7,"exp":1e9}`, true)
	f.Fuzz(func(t *testing.T, text string, sign bool) {
		genuine := text == ticketOf(secretA, `{"user":"u1","exp":1800000060}`)
		if sign {
			text = ticketOf(secretA, text)
		}
		g, err := v.read(text, time.Unix(1_800_000_000, 0))
		if (g == nil) == (err == nil) {
			t.Fatal("either a grant or an error")
		}
		if g != nil && !sign && !genuine {
			t.Errorf("not signed, but taken: %q", text)
		}
		if g != nil && (g.User == "" || g.Expires.IsZero() || CheckTopics(g.Topics) != nil) {
			t.Errorf("got %+v", g)
		}
	})
}
