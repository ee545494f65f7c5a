package clients_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// hubs are those of the scenarios.
type hubs struct{ usual, silent, full hub }

// start starts the product.
func start(t testing.TB) hubs {
	address := "127.0.0.1:" + harness.Port(t)
	site := ""
	at := func(name, options string) hub {
		site += fmt.Sprintf(`
	sse_push /%[1]s {
		hub %[1]s
		user query user
		retry 500ms 600ms
		internal /_%[1]s {
			allow loopback
		}
		%[2]s
	}`, name, options)
		return hub{harness.Route{URL: "http://" + address + "/_" + name}, address, "/" + name}
	}
	all := hubs{
		usual: at("usual", "heartbeat 1s\nlimits {\nevent 2MiB\n}"), silent: at("silent", "heartbeat 1h"), full: at("full", "limits {\nper_user 1\n}"),
	}
	for path, dir := range map[string]string{"/pages/*": "test/clients/testdata", "/modules/*": "test/node_modules"} {
		site += fmt.Sprintf("\n\thandle_path %s {\n\t\troot %s\n\t\tfile_server\n\t}", path, dir)
	}
	harness.StartCaddy(t, fmt.Sprintf("{\n\tskip_install_trust\n}\nhttp://%s {%s\n}\n", address, site))
	return all
}

const page = "../../docs/reference/libraries.md"

// TestClients runs the libraries. docs/reference/libraries.md has what they do; SSE_PUSH_WRITE=1 with SSE_PUSH_WILD=1 writes it there.
func TestClients(t *testing.T) {
	t.Parallel()
	all, hubs := all(), start(t)
	rows := make([][]string, len(libraries))
	t.Run("all", func(t *testing.T) {
		for i := range libraries {
			l := &libraries[i]
			if !all && !l.short {
				continue
			}
			rows[i] = make([]string, len(scenarios))
			for j, s := range scenarios {
				t.Run(l.name+" "+l.option+" "+s.name, func(t *testing.T) {
					t.Parallel()
					rows[i][j] = s.run(t, l, hubs, fmt.Sprintf("u%d-%d", i, j))
				})
			}
		}
	})
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- by test/clients -->\n", "<!-- end -->\n"
	before, rest, _ := strings.Cut(string(text), begin)
	table, after, found := strings.Cut(rest, end)
	if !found {
		t.Fatalf("%s has no table", page)
	}
	var made strings.Builder
	fmt.Fprint(&made, "| client | with |")
	for _, s := range scenarios {
		fmt.Fprintf(&made, " %s |", s.name)
	}
	made.WriteString("\n|---|---|" + strings.Repeat("---|", len(scenarios)) + "\n")
	for i, row := range rows {
		if row == nil {
			continue
		}
		line := fmt.Sprintf("| %s | %s | %s |\n", libraries[i].name, libraries[i].option, strings.Join(row, " | "))
		if made.WriteString(line); !strings.Contains(table, line) && os.Getenv("SSE_PUSH_WRITE") == "" {
			t.Errorf("%s does not have\n%s", page, line)
		}
	}
	if !all {
		return
	}
	if os.Getenv("SSE_PUSH_WRITE") != "" {
		if err := os.WriteFile(page, []byte(before+begin+made.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if made.String() != table {
		t.Errorf("%s has another table than\n%s", page, made.String())
	}
}
