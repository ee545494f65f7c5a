package doctor_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/doctor"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

const secret = "s3cret-of-the-route"

const (
	// patience is the timeout of examinations to which all comes that is waited for, however busy the machine is.
	patience = 30 * time.Second
	// haste is the timeout of those that wait for what does not come. What does come has to come within it.
	haste = 4 * time.Second
)

// fake is a hub with a proxy in front, and faults of both.
type fake struct {
	*httptest.Server
	t *testing.T

	late    time.Duration               // how late each event comes
	clump   int                         // how many events are held back and sent together
	sameID  bool                        // each stream gets the id of the first
	life    time.Duration               // after which a stream is cut, busy or not
	silence time.Duration               // after which a stream without events is cut
	ghost   time.Duration               // how long a client that has left is still counted
	crowd   bool                        // others connect all the time
	parting string                      // the last event of streams that the hub ends
	endsAt  string                      // what the data of the event ends with at which the hub ends all streams
	stops   bool                        // then: its route refuses, and its log is gone
	brotli  bool                        // a proxy says that it compresses for those who can read that
	foreign bool                        // the route knows none of the connections
	back    func(last string) string    // what a stream that comes back gets, in place of the events that it has missed
	headers map[string]string           // of a stream; "" removes one
	route   func(w http.ResponseWriter) // answers for the internal route

	mu    sync.Mutex // guards what follows
	n     int        // how many streams were opened
	open  map[string]chan due
	log   []sse.Event // the events for the user
	asked []*http.Request

	strangers []string
	stopped   bool
}

// due is an event and the time at which it is sent.
type due struct {
	sse.Event
	at time.Time
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, open: map[string]chan due{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", f.stream)
	mux.HandleFunc("POST /_sse/publish", f.guard(f.publish))
	mux.HandleFunc("GET /_sse/connections", f.guard(f.list))
	mux.HandleFunc("GET /_sse/connections/{id}", f.guard(f.look))
	mux.HandleFunc("DELETE /_sse/connections/{id}", f.guard(f.disconnect))
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

// options returns all options but Idle, so that streams are not left idle.
func (f *fake) options() doctor.Options {
	return doctor.Options{URL: f.URL + "/events?ticket=t0ps3cret", Publish: f.URL + "/_sse", Token: secret, Timeout: patience}
}

func (f *fake) stream(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.n++
	f.asked = append(f.asked, r)
	id := fmt.Sprint("c", f.n)
	if f.sameID {
		id = "c1"
	}
	events := make(chan due, 100)
	f.open[id] = events
	from := len(f.log)
	if n, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil {
		from = n
	}
	missed := slices.Clone(f.log[from:])
	if f.stopped {
		missed = []sse.Event{{Type: "sse:gap", Data: []byte("{}")}}
	}
	f.mu.Unlock()
	forget := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.open[id] == events {
			delete(f.open, id)
		}
	}
	defer func() {
		if f.ghost > 0 {
			time.AfterFunc(f.ghost, forget)
		} else {
			forget()
		}
	}()

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	for name, value := range f.headers {
		if h.Set(name, value); value == "" {
			h.Del(name)
		}
	}
	if f.brotli && strings.Contains(r.Header.Get("Accept-Encoding"), "br") {
		h.Set("Content-Encoding", "br")
	}
	write := func(text string) {
		_, _ = w.Write([]byte(text))
		_ = http.NewResponseController(w).Flush()
	}
	hello := func(position string) string {
		data := fmt.Appendf(nil, `{"connection":%q,"user":"u1","topics":[]}`, id)
		return string(sse.Event{Type: "sse:connected", ID: position, Data: data, Retry: time.Second}.Append(nil))
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" && f.back != nil {
		write(strings.Replace(f.back(last), "HELLO", hello(last), 1))
	} else {
		write(hello(fmt.Sprint(from)))
		for _, e := range missed {
			write(string(e.Append(nil)))
		}
	}
	var kept []byte
	life, silence := after(f.life), after(f.silence)
	for n := 1; ; n++ {
		select {
		case <-r.Context().Done():
			return
		case <-life:
			return
		case <-silence:
			return
		case e, more := <-events:
			if !more {
				write(f.parting)
				return
			}
			select {
			case <-time.After(time.Until(e.at)):
			case <-r.Context().Done():
				return
			}
			if kept = e.Append(kept); f.clump == 0 || n%f.clump == 0 {
				write(string(kept))
				kept, silence = nil, after(f.silence)
			}
		}
	}
}

// after returns a channel that gets a value after a duration, or never if it is 0.
func after(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return time.After(d)
}

func (f *fake) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+secret:
			f.t.Errorf("the route was asked with %q", r.Header.Get("Authorization"))
		case f.route != nil:
			f.route(w)
		case f.isStopped():
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			next(w, r)
		}
	}
}

func (f *fake) publish(w http.ResponseWriter, r *http.Request) {
	var e struct {
		User, Connection, Data string
		Connections            []string
	}
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	event := sse.Event{Type: "sse-push-doctor", Data: []byte(e.Data)}
	if e.User == "u1" {
		event.ID = fmt.Sprint(len(f.log) + 1)
		f.log = append(f.log, event)
	}
	for id, events := range f.open {
		if e.User == "u1" || id == e.Connection || slices.Contains(e.Connections, id) {
			events <- due{event, time.Now().Add(f.late)}
		}
	}
	if f.endsAt != "" && strings.HasSuffix(e.Data, f.endsAt) {
		for id, events := range f.open {
			close(events)
			delete(f.open, id)
		}
		f.stopped = f.stops
	}
	fmt.Fprint(w, `{"id":"1"}`)
}

func (f *fake) isStopped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopped
}

func (f *fake) list(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := []map[string]string{}
	for id := range f.open {
		rows = append(rows, map[string]string{"id": id, "user": "u1"})
	}
	if f.crowd {
		f.strangers = append(f.strangers, fmt.Sprint("stranger", len(f.strangers)))
		for _, id := range f.strangers {
			rows = append(rows, map[string]string{"id": id, "user": id})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"connections": rows, "total": len(rows)})
}

func (f *fake) look(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.open[r.PathValue("id")]; !ok || f.foreign {
		http.Error(w, "", http.StatusNotFound)
		return
	}
	fmt.Fprintf(w, `{"id":%q,"protocol":"HTTP/1.1"}`, r.PathValue("id"))
}

func (f *fake) disconnect(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if events, ok := f.open[r.PathValue("id")]; ok {
		close(events)
		delete(f.open, r.PathValue("id"))
	}
	w.WriteHeader(http.StatusNoContent)
}
