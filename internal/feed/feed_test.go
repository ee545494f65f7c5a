package feed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/feed"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// log keeps what is published.
type log struct {
	mu      sync.Mutex // guards all below
	stored  []string   // name|id|data of each event, or the reason of a gap
	appends []int      // how many records came with each call
	keys    []string
	answers []error // for the next calls: what becomes of each call's first record
}

func (l *log) Publish(ctx context.Context, records []broker.Record) []broker.Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.appends = append(l.appends, len(records))
	results := make([]broker.Result, len(records))
	var refused error
	if len(l.answers) > 0 {
		refused, l.answers = l.answers[0], l.answers[1:]
	}
	for i, r := range records {
		if refused != nil {
			results[i].Err = refused
			continue
		}
		text := r.Type + "|" + r.ID + "|" + string(r.Data)
		if r.Kind == broker.Hole {
			text = "gap " + r.Type
		}
		if !slices.Equal(r.Targets, []broker.Target{{Kind: broker.Topic, Name: "t"}}) {
			text += fmt.Sprint(r.Targets)
		}
		l.stored, l.keys = append(l.stored, text), append(l.keys, r.Key)
		results[i].Position = broker.Position{Epoch: 1, Minor: uint64(len(l.stored))}
	}
	return results
}

func (l *log) config() feed.Config {
	return feed.Config{Log: l, Topic: "t", Event: 64, Wait: 10 * time.Second}
}

// check compares what was stored, and how many came with each append.
func (l *log) check(t *testing.T, stored []string, appends ...int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.stored, stored) {
		t.Errorf("got %q, want %q", l.stored, stored)
	}
	if appends != nil && !slices.Equal(l.appends, appends) {
		t.Errorf("came in appends of %v, want %v", l.appends, appends)
	}
}

func write(t *testing.T, f *feed.Feed, text string) {
	t.Helper()
	if n, err := f.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("%q: wrote %d bytes, %v", text, n, err)
	}
}

// However an upstream's bytes are cut, the same events come of them. Those without a name get that of the config.
func TestFormats(t *testing.T) {
	long := strings.Repeat("x", 129)
	for _, c := range []struct {
		name   string
		format feed.Format
		in     string
		event  int
		want   []string
	}{
		{"event stream", feed.EventStream, "\uFEFFevent: a\r\ndata: b\r\nid: 1\r\n\r\n:\ndata: c\n\ndata: lost", 64, []string{"a|1|b", "token|1|c"}},
		{"names that EventSource uses", feed.EventStream, "event: error\ndata: 1\n\nevent: open\ndata: 2\n\n", 64, []string{"error||1", "open||2"}},
		{"names of the hub's own", feed.EventStream, "event: sse:gap\ndata: 1\n\nevent: sse\ndata: 2\n\n", 64, []string{"sse||2"}},
		{"names that no client may be sent", feed.EventStream, "event: " + long + "\ndata: 1\n\nevent: a\x01\ndata: 2\n\ndata: 3\n\n", 256, []string{"token||3"}},
		{"ids that no client could send back", feed.EventStream, "id: " + long + "\ndata: 1\n\nid: \x01\ndata: 2\n\nid: 3\ndata\n\n", 256, []string{"token||1", "token||2", "token|3|"}},
		{"invalid UTF-8", feed.EventStream, "data: \xff\n\n", 64, []string{"token||\uFFFD"}},
		{"lines", feed.Lines, "{\"a\":1}\n\n \t\r\n{\"b\":2}\r\n{\"c\":3}", 64, []string{`token||{"a":1}`, `token||{"b":2}`, `token||{"c":3}`}},
		{"invalid lines", feed.Lines, "\xff\xfe\n", 64, []string{"token||\uFFFD"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for size := 1; size <= len(c.in); size += 1 + size/2 {
				l := new(log)
				config := l.config()
				config.Format, config.Type, config.Event = c.format, "token", c.event
				f := feed.New(t.Context(), config)
				for part := range slices.Chunk([]byte(c.in), size) {
					write(t, f, string(part))
				}
				if err := errors.Join(f.End(), f.Close()); err != nil {
					t.Error(err)
				}
				l.check(t, c.want)
			}
		})
	}
}

func TestTextIsCutByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		config := l.config()
		config.Format, config.Type, config.Event = feed.Text, "token", 8
		f := feed.New(t.Context(), config)
		write(t, f, "a")
		write(t, f, "b")
		write(t, f, "c\xe2\x82")
		time.Sleep(feed.Gather)
		synctest.Wait()
		l.check(t, []string{"token||a", "token||bc"})
		write(t, f, "\xac")
		time.Sleep(feed.Gather)
		synctest.Wait()
		l.check(t, []string{"token||a", "token||bc", "token||€"})
		write(t, f, strings.Repeat("x", 20)+"\xe2")
		if err := f.End(); err != nil {
			t.Error(err)
		}
		l.check(t, []string{"token||a", "token||bc", "token||€", "token||xxxxxxxx", "token||xxxxxxxx", "token||xxxx", "token||\uFFFD"})
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A line end whose two characters come apart stays one. Characters that are longer than an event may be are replaced.
func TestTextIsCutBetweenCharacters(t *testing.T) {
	for _, c := range []struct {
		event int
		parts []string
		want  []string
	}{
		{8, []string{"a\r", "\nb\r", "c\r"}, []string{"token||a", "token||\r\nb", "token||\rc", "token||\r"}},
		{2, []string{"€a"}, []string{"token||\uFFFD", "token||\uFFFDa"}},
		{1, []string{"\r\n"}, []string{"token||\r", "token||\n"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := new(log)
			config := l.config()
			config.Format, config.Type, config.Event = feed.Text, "token", c.event
			f := feed.New(t.Context(), config)
			for _, part := range c.parts {
				write(t, f, part)
				time.Sleep(feed.Gather)
				synctest.Wait()
			}
			if err := f.End(); err != nil {
				t.Error(err)
			}
			l.check(t, c.want)
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What arrives within a moment is appended at once, and the first of it without delay.
func TestGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		f := feed.New(t.Context(), l.config())
		write(t, f, "data: 1\n\ndata: 2\n\n")
		l.check(t, []string{"||1", "||2"}, 2)
		write(t, f, "data: 3\n\n")
		time.Sleep(feed.Gather / 2)
		write(t, f, "data: 4\n\n")
		synctest.Wait()
		l.check(t, []string{"||1", "||2"}, 2)
		time.Sleep(feed.Gather / 2)
		synctest.Wait()
		l.check(t, []string{"||1", "||2", "||3", "||4"}, 2, 2)
		time.Sleep(time.Hour)
		write(t, f, "data: 5\n\n")
		l.check(t, []string{"||1", "||2", "||3", "||4", "||5"}, 2, 2, 1)
		write(t, f, "data: 6\n\n")
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		l.check(t, []string{"||1", "||2", "||3", "||4", "||5", "||6"}, 2, 2, 1, 1)
		if _, err := f.Write([]byte("data: 7\n\n")); !errors.Is(err, feed.ErrClosed) {
			t.Errorf("after the end, Write returned %v", err)
		}
	})
}

// However much comes at once, little waits for the log.
func TestStoresEarlyIfMuchComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(log)
		config := l.config()
		config.Event = 1 << 20
		f := feed.New(t.Context(), config)
		write(t, f, strings.Repeat("data: 1\n\n", 1000))
		write(t, f, strings.Repeat("data: "+strings.Repeat("x", 200<<10)+"\n\n", 3))
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if want := []int{256, 256, 256, 234, 1}; !slices.Equal(l.appends, want) {
			t.Errorf("came in appends of %v, want %v", l.appends, want)
		}
	})
}

func TestTooLong(t *testing.T) {
	for _, format := range []feed.Format{feed.EventStream, feed.Lines} {
		l := new(log)
		config := l.config()
		config.Format = format
		f := feed.New(t.Context(), config)
		write(t, f, "data: 1\n\n")
		write(t, f, strings.Repeat("x", 64))
		for range 2 {
			if _, err := f.Write([]byte("x")); !errors.Is(err, sse.ErrTooLong) {
				t.Errorf("got %v, want %v", err, sse.ErrTooLong)
			}
		}
		if err := f.Gap("upstream"); err != nil {
			t.Errorf("Gap returned %v", err)
		}
		if err := f.Close(); !errors.Is(err, sse.ErrTooLong) {
			t.Errorf("Close returned %v, want %v", err, sse.ErrTooLong)
		}
		if len(l.stored) != 2 {
			t.Errorf("stored %q", l.stored)
		}
	}
}

func TestGap(t *testing.T) {
	l := new(log)
	f := feed.New(t.Context(), l.config())
	write(t, f, "data: 1\n\ndata: 2\n\ndata: 3")
	if !f.Midway() {
		t.Error("the feed does not know that an event has begun")
	}
	if err := errors.Join(f.Gap("upstream"), f.Close()); err != nil {
		t.Error(err)
	}
	l.check(t, []string{"||1", "||2", "gap upstream"})
}

func TestMidway(t *testing.T) {
	l := new(log)
	config := l.config()
	config.Format = feed.Lines
	f := feed.New(t.Context(), config)
	for text, want := range map[string]bool{"": false, "a\nb": true, "\n": false} {
		if write(t, f, text); text != "" && f.Midway() != want {
			t.Errorf("after %q: %v", text, f.Midway())
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// The upstream is sent back what it gave last, in this connection or in the one before.
func TestLastEventID(t *testing.T) {
	for _, c := range []struct{ before, in, want string }{
		{"", "data: 1\n\n", ""},
		{"7", "data: 1\n\n", "7"},
		{"7", "id: 8\ndata: 1\n\n", "8"},
		{"7", "id: 8\ndata: 1\n\nid\ndata: 2\n\n", ""},
		{"7", "id: 8\n\n", "8"},
		{"7", "id: 8\n", "7"},
		{"", "id: " + strings.Repeat("x", 1<<10) + "\n\n", strings.Repeat("x", 1<<10)},
		{"", "id: " + strings.Repeat("x", 1<<10+1) + "\n\n", ""},
		{"", "id: a\x01b\n\n", ""},
	} {
		l := new(log)
		config := l.config()
		config.LastEventID, config.Event = c.before, 4<<10
		f := feed.New(t.Context(), config)
		write(t, f, c.in+"retry: 1500\n")
		if got := f.LastEventID(); got != c.want {
			t.Errorf("%q and then %q: got %q, want %q", c.before, c.in, got, c.want)
		}
		if f.Retry() != 1500*time.Millisecond {
			t.Errorf("retry: got %v", f.Retry())
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A log that is away for a moment is waited for, and gets everything once and in order.
func TestWaitsForTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{answers: []error{broker.ErrUnavailable, broker.ErrOverloaded, broker.ErrUnknownOutcome, nil}}
		config := l.config()
		config.Key = "k/"
		var seen []string
		config.Stored = func(r *broker.Record, p broker.Position) { seen = append(seen, string(r.Data)+p.String()) }
		f := feed.New(t.Context(), config)
		write(t, f, "data: 1\n\ndata: 2\n\n")
		write(t, f, "data: 3\n\n")
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		l.check(t, []string{"||1", "||2", "||3"}, 2, 2, 2, 2, 1)
		if want := []string{"k/0", "k/1", "k/2"}; !slices.Equal(l.keys, want) {
			t.Errorf("got keys %q, want %q", l.keys, want)
		}
		if want := []string{"11.1", "21.2", "31.3"}; !slices.Equal(seen, want) {
			t.Errorf("heard of %q, want %q", seen, want)
		}
	})
}

func TestGivesUpOnTheLog(t *testing.T) {
	for name, answers := range map[string][]error{
		"it stays away":                     slices.Repeat([]error{broker.ErrUnavailable}, 100),
		"it is closed":                      {broker.ErrClosed},
		"it never takes such an event":      {broker.ErrTooLarge},
		"without keys, it cannot ask again": {broker.ErrUnknownOutcome},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			f := feed.New(t.Context(), (&log{answers: slices.Clone(answers)}).config())
			_, err := f.Write([]byte("data: 1\n\n"))
			if !errors.Is(err, answers[0]) {
				t.Errorf("%s: Write returned %v", name, err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
			if closed := f.Close(); closed != err {
				t.Errorf("%s: Close returned %v", name, closed)
			}
		})
	}
}

// A feed whose context is done publishes no more.
func TestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := feed.New(ctx, (&log{answers: slices.Repeat([]error{broker.ErrUnavailable}, 100)}).config())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		if _, err := f.Write([]byte("data: 1\n\n")); err == nil || time.Since(began) != time.Second {
			t.Errorf("Write returned %v after %v", err, time.Since(began))
		}
		_ = f.Close()
	})
}

func TestCounts(t *testing.T) {
	l := new(log)
	config := l.config()
	config.Counts = new(feed.Counts)
	for range 2 {
		f := feed.New(t.Context(), config)
		write(t, f, "data: 1\n\nevent: sse:x\ndata: 2\n\nid: \x01\ndata: 3\n\n")
		if err := errors.Join(f.Gap("upstream"), f.Close()); err != nil {
			t.Error(err)
		}
	}
	c := config.Counts
	if e, b, d, i := c.Events.Load(), c.Bytes.Load(), c.Dropped.Load(), c.DroppedIDs.Load(); e != 4 || b != 92 || d != 2 || i != 2 {
		t.Errorf("got %d events, %d bytes, %d dropped, %d ids dropped", e, b, d, i)
	}
	if c.Last().IsZero() {
		t.Error("there is no last event")
	}
}

// held is a log that takes events when it is let to.
type held struct{ entered, release chan struct{} }

func (h held) Publish(_ context.Context, records []broker.Record) []broker.Result {
	close(h.entered)
	<-h.release
	return make([]broker.Result, len(records))
}

// Settle returns when Stored knows of what the log has taken, of which others may have heard already.
func TestSettle(t *testing.T) {
	l := held{make(chan struct{}), make(chan struct{})}
	var seen []string
	f := feed.New(t.Context(), feed.Config{Log: l, Topic: "t", Event: 64, Wait: time.Minute, Stored: func(r *broker.Record, _ broker.Position) {
		seen = append(seen, string(r.Data))
	}})
	f.Settle() // nothing is on its way
	written := make(chan error, 1)
	go func() {
		_, err := f.Write([]byte("data: 1\n\n"))
		written <- err
	}()
	<-l.entered
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		if f.Settle(); !slices.Equal(seen, []string{"1"}) {
			t.Errorf("Settle returned when Stored had been called with %q", seen)
		}
	}()
	close(l.release)
	<-settled
	if err := errors.Join(<-written, f.Close()); err != nil {
		t.Error(err)
	}
}
