package wild_test

import (
	"encoding/json"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// report is the JSON of a doctor.
type report struct {
	Healthy  bool
	Fronts   []string
	Findings []finding
}

type finding struct {
	Code, Severity, Where, Seen string
	Mend                        []mend
}

// mend is a line that mends a finding. Only what has a place can be pasted.
type mend struct{ In, At, Paste, Remove string }

// examine runs the doctor.
func examine(t *testing.T, args ...string) (r report, text string) {
	t.Helper()
	text, err := harness.RunCaddy(t, append([]string{"sse-push", "doctor", "--json"}, args...)...)
	if json.Unmarshal([]byte(text), &r) != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return r, text
}
