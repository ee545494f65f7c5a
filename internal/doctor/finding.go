package doctor

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/doctor/front"
)

// Severity says how bad a finding is. A setup with a fault or a warning is not healthy.
type Severity string

// The severities, the worst first.
const (
	Fault   Severity = "fault"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Where a finding comes from. Only a comparison with the hub itself can tell.
const (
	AtHub   = "at the hub itself"
	Between = "between the client and the hub"
)

// Finding is one thing that is wrong.
type Finding struct {
	Code     string       `json:"code"` // stable
	Severity Severity     `json:"severity"`
	On       []string     `json:"on,omitempty"`    // the streams that show it
	Seen     string       `json:"seen"`            // what was seen on the first of them
	Felt     string       `json:"felt"`            // what a user notices
	Where    string       `json:"where,omitempty"` // AtHub, Between, or "" if that is not known
	Mend     []front.Line `json:"mend"`
}

// merge joins findings with the same code, and sorts the worst first.
func merge(all []Finding, compared bool) (merged []Finding) {
	merged = []Finding{}
	for _, f := range all {
		i := slices.IndexFunc(merged, func(m Finding) bool { return m.Code == f.Code })
		if i < 0 {
			merged = append(merged, f)
			continue
		}
		for _, name := range f.On {
			if !slices.Contains(merged[i].On, name) {
				merged[i].On = append(merged[i].On, name)
			}
		}
	}
	for i := range merged {
		f := &merged[i]
		switch {
		case slices.ContainsFunc(f.On, func(name string) bool { return strings.HasPrefix(name, "hub ") }):
			f.Where = AtHub
		case compared && slices.Contains(comparableCodes, f.Code):
			f.Where = Between
		}
	}
	rank := []Severity{Fault, Warning, Note}
	slices.SortStableFunc(merged, func(a, b Finding) int {
		return cmp.Compare(slices.Index(rank, a.Severity), slices.Index(rank, b.Severity))
	})
	return merged
}

// comparableCodes are the codes that a stream from the hub itself would show as well, if the hub were at fault.
var comparableCodes = []string{
	"buffered", "compressed", "content-length", "cacheable", "cut", "delayed", "http10", "idle-cut", "no-answer", "no-directive", "no-heartbeat",
	"no-ids", "no-retry", "not-event-stream", "redirect", "status", "unreachable",
}
