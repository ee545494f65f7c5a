package problem

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// A complaint is logged once a minute, with the number of those that were left out.
func TestComplaints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		var c Complaints
		complain := func(n int, what string) {
			for range n {
				c.Log(zap.New(core), zapcore.WarnLevel, what, zap.String("remote", "1.2.3.4"))
			}
		}
		complain(20, "a")
		complain(1, "b")
		time.Sleep(Every)
		complain(3, "a")
		time.Sleep(Every)
		complain(1, "a")
		time.Sleep(Every)
		complain(1, "a")
		want := []map[string]any{
			{"": "a", "remote": "1.2.3.4"}, {"": "b", "remote": "1.2.3.4"},
			{"": "a", "remote": "1.2.3.4", "left_out": int64(19)}, {"": "a", "remote": "1.2.3.4", "left_out": int64(2)},
			{"": "a", "remote": "1.2.3.4"},
		}
		got := logs.All()
		if len(got) != len(want) {
			t.Fatalf("got %d lines, want %d", len(got), len(want))
		}
		for i, line := range got {
			fields := line.ContextMap()
			fields[""] = line.Message
			for name, value := range want[i] {
				if fields[name] != value {
					t.Errorf("line %d: got %v, want %v", i, fields, want[i])
				}
			}
			if len(fields) != len(want[i]) {
				t.Errorf("line %d: got %v, want %v", i, fields, want[i])
			}
		}
	})
}
