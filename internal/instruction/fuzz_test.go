package instruction

import (
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
)

// However a client spells it, what an app would take for an instruction does not reach the app, and nothing else is lost.
func FuzzInstructionName(f *testing.F) {
	for _, seed := range []string{"X-SSE-User", "x-sse-user", "X_SSE_User", "X.SSE-Topics", "X-Sse_Publish", "Trailer:X-SSE-Hold", "X-SSE", "X-SSEUser",
		"XX-SSE-User", "Xsse-User", "X-\u017f\u017fe-User", "X--SSE-User", "HTTP_X_SSE_USER"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		field, isTrailer := strings.CutPrefix(name, http.TrailerPrefix)
		if !httpguts.ValidHeaderFieldName(field) {
			return // which no server takes
		}
		h := http.Header{}
		for _, spelling := range []string{field, textproto.CanonicalMIMEHeaderKey(field), strings.ToLower(field)} {
			if isTrailer {
				spelling = http.TrailerPrefix + spelling
			}
			h[spelling] = []string{"v"}
		}
		given := len(h)
		taken := Strip(h)
		if len(h)+len(taken) != given {
			t.Errorf("%q: of %d, %d are left and %d taken", name, given, len(h), len(taken))
		}
		// As CGI, and PHP's arrays, spell it.
		cgi := strings.NewReplacer("-", "_", ".", "_", " ", "_").Replace(strings.ToUpper(field))
		if instruction := strings.HasPrefix(cgi, "X_SSE_"); instruction != (len(h) == 0) {
			t.Errorf("%q: an instruction: %v, left: %v", name, instruction, h)
		}
	})
}
