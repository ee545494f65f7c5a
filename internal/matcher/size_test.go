package matcher_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/matcher"
)

// What connections are charged for a pattern covers what it takes, and is not several times as much.
func TestSize(t *testing.T) {
	base := newBase(t, hubURL)
	for kind, form := range map[string]string{
		"urlpattern": "https://app.example/users/%d/books/:id", "template": "https://app.example/users/%d/books/{id}",
		"urlpattern with an expression": "https://app.example/users/%d/:a/:b/*", "template with 16": "https://x/%d/{a,b,c,d}{/e,f,g,h}{?i,j,k,l}{&m,n,o,p}",
	} {
		const many = 2000
		name, _, _ := strings.Cut(kind, " ")
		pattern := func(i int) *matcher.Pattern {
			request := strings.Repeat("x", 8<<10) + fmt.Sprintf(form, i) // of which nothing may be held but the text
			m, err := compile(base, name, request[8<<10:])
			if err != nil {
				t.Fatal(err)
			}
			return m.Pattern()
		}
		held := make([]*matcher.Pattern, many)
		pattern(many) // so that what is made once is made
		var before, after runtime.MemStats
		collect(&before)
		charged := 0
		for i := range held {
			held[i] = pattern(i)
			charged += held[i].Size()
		}
		collect(&after)
		takes := int(after.HeapAlloc - before.HeapAlloc)
		t.Logf("%s: takes %d bytes, is charged %d", kind, takes/many, charged/many)
		if charged < takes || charged > 3*takes {
			t.Errorf("%s: takes %d bytes, is charged %d", kind, takes/many, charged/many)
		}
		runtime.KeepAlive(held)
	}
}

// collect reads how much memory is in use once the garbage is gone, also that which weak pointers and cleanups have kept for a cycle.
func collect(m *runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(m)
}
