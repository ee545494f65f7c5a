package source

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// wantBetween fails unless a time is between two others.
func wantBetween(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s after %v, want between %v and %v", what, got, least, most)
	}
}

// The app's `retry` says when its stream is opened again, within bounds. An app that fails is asked less and less often, up to once a
// minute, and at times that differ. Once it sends something, all is as before.
func TestBackOff(t *testing.T) {
	for retry, first := range map[string]time.Duration{
		"": 3 * time.Second, "retry: 10000\n": 10 * time.Second, "retry: 1\n": 500 * time.Millisecond,
		"retry: 31536000000\n": time.Minute, "retry: 99999999999999999999\n": 3 * time.Second, "retry: 0\n": 3 * time.Second,
	} {
		serveSite(t, Settings{}, func(s *site) {
			l := s.listen()
			c := s.next()
			c.send(retry + "data: one\n\n")
			exact, ended := true, time.Now()
			c.end()
			for failures := range 9 {
				want := min(first<<failures, time.Minute)
				c = s.next()
				wantBetween(t, retry+"failure "+strconv.Itoa(failures)+": asked again", c.at.Sub(ended), want*4/5, want*6/5)
				exact = exact && c.at.Sub(ended) == want
				c.w.WriteHeader(http.StatusServiceUnavailable)
				ended = time.Now()
				c.end()
			}
			if exact {
				t.Error("the times do not differ")
			}
			c = s.next()
			c.send("data: two\n\n")
			ended = time.Now()
			c.end()
			wantBetween(t, retry+"after an event: asked again", s.next().at.Sub(ended), first*4/5, first*6/5)
			if got := l.data(); got != "one two" {
				t.Errorf("the client got %q", got)
			}
			l.leave()
		})
	}
}

// A stream that ends without having brought anything counts as a failure.
func TestBackOffWithoutEvents(t *testing.T) {
	serveSite(t, Settings{}, func(s *site) {
		l := s.listen()
		c := s.next()
		c.send("data: one\n\n")
		for _, want := range []time.Duration{3 * time.Second, 6 * time.Second, 12 * time.Second, 24 * time.Second, 48 * time.Second, time.Minute, time.Minute} {
			ended := time.Now()
			c.end()
			c = s.next()
			wantBetween(t, "asked again", c.at.Sub(ended), want*4/5, want*6/5)
			c.send(": nothing\n")
		}
		l.leave()
	})
}

// A stream whose other end is silent, or gone without a word, is kept for those who listen until it is max_age old. If nobody does, it
// is kept for linger and a minute, so that a client that comes back joins it.
func TestSilentUpstream(t *testing.T) {
	serveSite(t, Settings{}, func(s *site) {
		l := s.listen()
		c := s.next()
		c.send("id: 7\ndata: one\n\n")
		again := s.next()
		wantBetween(t, "asked again while a client listens", again.at.Sub(c.at), time.Hour, time.Hour+2*carePause)
		if c.Context().Err() == nil || again.Header.Get("Last-Event-ID") != "7" {
			t.Errorf("the old request goes on, or the new one asks for what follows %q", again.Header.Get("Last-Event-ID"))
		}
		again.send(": still silent\n")
		for range 2 {
			l.leave()
			<-l.over
			time.Sleep(defaultLinger + silence - time.Second)
			s.none()
			if again.Context().Err() != nil {
				t.Fatal("the stream was given up early")
			}
			if l = s.listen(); l.data() != "one" {
				t.Errorf("who came back got %q", l.data())
			}
		}
		l.leave()
		<-l.over
		begun := time.Now()
		wantBetween(t, "given up", again.left(t).Sub(begun), defaultLinger+silence, defaultLinger+silence+2*carePause)
		s.none()
		l = s.listen()
		s.next().send("data: two\n\n")
		if got := l.data(); got != "two" {
			t.Errorf("who came after that got %q", got)
		}
		l.leave()
	})
}

// After a reload, a source opens its stream by the new config within a minute, and waits for the end of an event that has begun, but not
// for ever.
func TestHandOver(t *testing.T) {
	for text, most := range map[string]time.Duration{"": handOver, "data: half": handOver + overtime} {
		serveSite(t, Settings{}, func(s *site) {
			l := s.listen()
			c := s.next()
			c.send("data: one\n\n" + text)
			time.Sleep(10 * time.Minute)
			s.load(Settings{})
			loaded := time.Now()
			time.Sleep(handOver / 2)
			s.load(Settings{}) // another one puts it off no further
			wantBetween(t, "opened anew", c.left(t).Sub(loaded), most, most+2*carePause)
			l.leave()
		})
	}
	serveSite(t, Settings{}, func(s *site) {
		l := s.listen()
		c := s.next()
		c.send("data: one\n\ndata: half")
		s.load(Settings{})
		time.Sleep(handOver + overtime/2)
		if c.Context().Err() != nil {
			t.Error("an event was cut in half")
		}
		c.send("\n\n")
		if c.Context().Err() == nil {
			t.Error("the event is whole, and the stream goes on")
		}
		if got := l.data(); got != "one half" {
			t.Errorf("the client got %q", got)
		}
		l.leave()
	})
}

// retiring returns how many sources the log is about to forget.
func retiring(reg *Registry) int {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return len(reg.retiring)
}

// The log forgets a source that has ended when it has nothing of it any more. A hub that is gone is not kept in memory for that.
func TestRetirement(t *testing.T) {
	for _, stays := range []bool{true, false} {
		var reg *Registry
		serveSite(t, Settings{}, func(s *site) {
			h, err := s.ref.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l := s.listen()
			c := s.next()
			c.send("data: one\n\n")
			l.leave()
			c.left(t)
			synctest.Wait()
			reg = RegistryOf(h)
			if n := retiring(reg); n != 1 || len(reg.list()) != 0 {
				t.Errorf("%d sources are about to be forgotten, and %d have not ended", n, len(reg.list()))
			}
			if stays {
				time.Sleep(retirement)
				synctest.Wait()
				if n := retiring(reg); n != 0 {
					t.Errorf("%d sources are still to be forgotten", n)
				}
			}
		})
		if n := retiring(reg); n != 0 {
			t.Errorf("%d sources are still to be forgotten, and the hub is gone", n)
		}
	}
}
