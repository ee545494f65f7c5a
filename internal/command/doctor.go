package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sse-push/caddy-sse-push/internal/doctor"
)

// exitUnhealthy is the exit code of an examination that has found a fault.
const exitUnhealthy = 1

// tokenVariable is the environment variable that may hold the internal route's token.
const tokenVariable = "SSE_PUSH_TOKEN"

// plainWidth is how many columns a report has if there is no terminal.
const plainWidth = 80

// doctorCommand returns `caddy sse-push doctor`.
func doctorCommand() *cobra.Command {
	var o doctor.Options
	var headers []string
	var asJSON, quick bool
	c := &cobra.Command{
		Use:   "doctor <url>",
		Short: "Finds out why a browser gets no events",
		Long: longText(`
Opens event streams as a browser does: over HTTP/1.1 and HTTP/2, with and without an offer of compression. It reports what
buffers, compresses, cuts or caches them on the way. For the proxies that it recognises, it also says what to change: nginx,
Apache, HAProxy, Varnish, Squid, lighttpd, h2o, Traffic Server, Caddy, Cloudflare and AWS's ALB.

With --publish, it also sends probes through the hub's internal route, or through /sse_push/hubs/<hub> of the admin
endpoint. A probe is an event named sse-push-doctor, which no page listens to. Nearly all go to its own connections. One goes
to its own user (or --topic) while its stream is away, to see whether the event arrives afterwards. It also lets the hub end
one of its connections, and asks the hub when it notices that a client has left. Without --publish, it lists what it could
not check.

Some proxies limit how long an answer may last, even if data flows: --for 20m finds limits of up to 20 minutes.

It exits with 0 only if everything is healthy, with 1 if something is not or an argument is wrong, and with 130 if a signal
interrupts it.`),
		Example: examples("caddy sse-push doctor https://example.com/events --publish http://127.0.0.1:9090/_sse",
			"caddy sse-push doctor 'https://example.com/events?ticket=t1' --origin-url http://10.0.0.5:8080",
			"caddy sse-push doctor https://push.example.com/events --origin https://www.example.com --quick --json",
			"caddy sse-push doctor https://example.com/events --publish http://127.0.0.1:9090/_sse --for 20m"),
		Args: cobra.ExactArgs(1),
	}
	f := c.Flags()
	f.StringVar(&o.Publish, "publish", "", "The URL of the hub's internal route, with its prefix: http://127.0.0.1:9090/_sse")
	f.StringVar(&o.Token, "token", "", "The token of the internal route (default: the environment variable "+tokenVariable+")")
	f.StringVar(&o.Hub, "origin-url", "", "The URL of the same stream at the hub itself, without the proxies, to compare with")
	f.StringVar(&o.Origin, "origin", "", "The origin of a page on another host, to check that it may subscribe")
	f.StringVar(&o.Topic, "topic", "", "The topic of the event that is missed on purpose; the stream has to get it (default: the stream's user)")
	f.StringArrayVarP(&headers, "header", "H", nil, "A header of the requests, such as 'Cookie: session=s1'; may be repeated")
	f.DurationVar(&o.Idle, "idle", doctor.DefaultIdle, "How long to leave the streams idle; should be longer than two heartbeats")
	f.DurationVar(&o.For, "for", 0, "How long to keep the streams open in all, such as 20m, to find limits of a whole answer (default: as --idle)")
	f.BoolVar(&quick, "quick", false, "Do not wait: skip --idle and --for")
	f.DurationVar(&o.Timeout, "timeout", doctor.DefaultTimeout, "How long to wait for an answer")
	f.BoolVar(&o.Insecure, "insecure", false, "Accept any certificate")
	f.BoolVar(&asJSON, "json", false, "Print the report as JSON")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage, cmd.SilenceErrors = true, true // fails prints the error
		o.URL = args[0]
		if o.Token == "" {
			o.Token = os.Getenv(tokenVariable)
		}
		if quick {
			o.Idle, o.For = 0, 0
		}
		return runDoctor(cmd, o, headers, asJSON)
	}
	return c
}

func runDoctor(cmd *cobra.Command, o doctor.Options, headers []string, asJSON bool) error {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process

	fail := func(err error) error { return fails(cmd, exitUnhealthy, err) }
	var err error
	if o.Header, err = parseHeaders(headers); err != nil {
		return fail(err)
	}
	if err := o.Check(); err != nil {
		return fail(err)
	}
	out := cmd.OutOrStdout()
	width, color := reportWidth(out)
	if wait := max(o.Idle, o.For); terminalWidth(out) > 0 && wait > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "This takes %v or more; --quick does not wait.\n", wait)
	}
	report, err := doctor.Examine(ctx, o)
	switch {
	case ctx.Err() != nil:
		return fails(cmd, exitSignal, nil)
	case err != nil:
		return fail(err)
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(report)
	} else {
		err = report.WriteText(out, width, color)
	}
	if err != nil {
		return fail(err)
	}
	if !report.Healthy {
		return fails(cmd, exitUnhealthy, nil)
	}
	return nil
}

// reportWidth returns how wide a report may be, and whether it may have colours.
func reportWidth(w io.Writer) (width int, color bool) {
	if width = terminalWidth(w); width == 0 {
		return plainWidth, false
	}
	return width, os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
