package asynclog

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A log that takes nothing does not block its callers. Lines without room are counted, and their number is logged.
func TestStalledLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		log := Logger(slog.New(slog.NewTextHandler(w, nil))).With("a", 1).WithGroup("g")
		begun := time.Now()
		for i := range most + 100 {
			log.Info("line", "n", i)
			if i == 0 {
				synctest.Wait() // until the first line is being written
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %s", took)
		}
		var got bytes.Buffer
		var reading sync.WaitGroup
		reading.Go(func() { io.Copy(&got, r) })
		synctest.Wait()
		_ = w.Close()
		reading.Wait()
		text := got.String()
		if n := strings.Count(text, "msg=line a=1 g.n="); n != most+1 {
			t.Errorf("got %d lines, want %d", n, most+1)
		}
		if !strings.Contains(text, "lines=99") {
			t.Errorf("the number of those dropped is not said: %.300s", text)
		}
	})
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := new(Queue)
		q.Flush(time.Hour) // returns at once, as no line waits
		written := 0
		for range 10 {
			q.Put(func() { time.Sleep(time.Second); written++ }, nil)
		}
		begun := time.Now()
		q.Flush(time.Second / 2)
		if took := time.Since(begun); took != time.Second/2 {
			t.Errorf("it took %s", took)
		}
		q.Flush(time.Hour)
		if written != 10 {
			t.Errorf("%d lines are written", written)
		}
	})
}
