package identity

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

func authorizerOf(t *testing.T, config Authorize) *authorizer {
	t.Helper()
	if err := config.Check(); err != nil {
		t.Fatal(err)
	}
	return newAuthorizer(&config)
}

// arriving returns a request to a subscribe route in the form that verifiers take.
func arriving(r *http.Request, params url.Values, route string) *attempt {
	return &attempt{Request: r, params: params, route: route}
}

// app serves a handler, and returns the URL at which an authorizer can ask it.
func app(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL + "/whoami"
}

// asClient returns a client's request with a cookie, unless it is "", and headers: names and values in turn.
func asClient(cookie string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://site.example/events", nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// Refusals and failures are not kept: a user who then logs in is let in.
func TestAuthorizeForgetsRefusals(t *testing.T) {
	var status atomic.Int64
	v := authorizerOf(t, Authorize{Target: app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-SSE-User", "u1")
		w.WriteHeader(int(status.Load()))
	})})
	for _, s := range []int64{401, 500, 200} {
		status.Store(s)
		g, err := v.verify(arriving(asClient("id=1"), nil, "/events"))
		if (s == 200) != (err == nil && g != nil) {
			t.Errorf("%d: got %+v, %v", s, g, err)
		}
	}
	status.Store(401)
	if g, _ := v.verify(arriving(asClient("id=1"), nil, "/events")); g == nil {
		t.Error("an answer is not kept")
	}
}

// However many different cookies come, a bounded number of answers is kept.
func TestAuthorizeKeepsLittle(t *testing.T) {
	v := authorizerOf(t, Authorize{Target: "/whoami"})
	g := &Grant{User: "u", Expires: time.Now().Add(time.Hour)}
	for i := range 3 * maxAnswers {
		v.keep(answerKey{byte(i), byte(i >> 8), byte(i >> 16)}, g, 0)
	}
	if n := len(v.answers); n > maxAnswers {
		t.Errorf("%d answers are kept", n)
	}
}
