package update

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// Whatever a publisher sends, its record is one that every hub takes, and goes to nothing but topics that are not the hub's own.
func FuzzRead(f *testing.F) {
	for _, body := range []string{
		"topic=a&data=b", "topic=a&topic=b&private=on&id=c&type=d&retry=1", "user=a&broadcast=1&topic=%2fx", "topic=*", "topic=/.well-known/mercure/x",
		"topic=a&id=%23", "topic=a&type=mercure", "topic=a&retry=0", "%zz=1", "topic=%ff", "&&=&topic", "topic=a+b&data=%00&Topic=c&TOPIC=d",
	} {
		f.Add(body)
	}
	base, err := matcher.NewBase("https://hub.example/.well-known/mercure")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		const most = 100
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", formType)
		record, p := Read(httptest.NewRecorder(), r, base, most)
		if p != nil {
			if p.Status != http.StatusBadRequest && p.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("got %v", p)
			}
			return
		}
		for _, target := range record.Targets {
			if target.Kind != broker.Topic || rules.CheckForeignTopic(target.Name) != nil || base.Reserved(target.Name) || target.Name == "*" {
				t.Errorf("it goes to %v", target)
			}
		}
		if record.ID != "" && (rules.CheckID(record.ID) != nil || record.ID[0] == '#') || record.Type != "" && rules.CheckType(record.Type) != nil ||
			rules.CheckData(record.Data) != nil || len(record.Data) > most || record.Retry < 0 || record.Retry > rules.MaxRetry {
			t.Errorf("got %+v", record)
		}
		if len(record.Targets) == 0 || record.Kind != broker.Event || len(record.Exclude) > 0 || record.Key != "" || record.TTL != 0 || record.Coalesce != "" {
			t.Errorf("got %+v", record)
		}
		if private := strings.Contains("&"+body, "&private"); !private && !strings.Contains(body, "%") && !record.Public {
			t.Error("it is private")
		}
	})
}

// timed is a writer that takes read deadlines, and a body that comes too late for the last of them, if there is one.
type timed struct {
	http.ResponseWriter
	*strings.Reader
	begun    time.Time
	deadline time.Time
}

func (w *timed) SetReadDeadline(d time.Time) error {
	w.deadline = d
	return nil
}

func (w *timed) Read(p []byte) (int, error) {
	if w.deadline.After(w.begun) && w.deadline.Before(w.begun.Add(2*time.Minute)) {
		return 0, os.ErrDeadlineExceeded
	}
	return w.Reader.Read(p)
}

// An update that comes too slowly is refused.
func TestSlow(t *testing.T) {
	base, err := matcher.NewBase("https://hub.example/.well-known/mercure")
	if err != nil {
		t.Fatal(err)
	}
	w := &timed{ResponseWriter: httptest.NewRecorder(), Reader: strings.NewReader("topic=a"), begun: time.Now()}
	r := httptest.NewRequest(http.MethodPost, "/", w)
	r.Header.Set("Content-Type", formType)
	if _, p := Read(w, r, base, 100); p == nil || p.Status != http.StatusRequestTimeout {
		t.Errorf("got %v", p)
	}
}
