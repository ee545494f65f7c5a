package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/api"
)

func explainCommand() *cobra.Command {
	cmd := adminFlags(&cobra.Command{
		Use:   "explain <user|connection|event id> [<event id>]",
		Short: "Explains why a user or a connection did or did not get an event",
		Long: longText(`
Explains why a user or a connection did or did not get an event. It looks at what this node remembers: the events in the
history, the open connections, and the last few thousand that have ended. With only a user or a connection, it shows the
state of the connections; with only an event, it shows what became of the event on each connection that it was for.

Verdicts:
  sent            the hub has written the event to the stream
  pending         the event waits for the client
  unsent          the event was waiting when the stream ended; the client gets it if it resumes
  gap             the client was told that events are missing there
  expired         the event's ttl had passed
  coalesced       a newer event with the same key took its place
  excluded        the publisher excluded the connection
  not_subscribed  the topic is granted, but the client has not asked for it
  not_granted     the topic is not granted to the client
  not_addressed   the event was for others
  forgotten       the history no longer has the event
  unknown         no event has this id
  not_connected   the connection had ended by then, or began later; or there was none lately
  connected       the connection is open (if no event is given)

To find out what buffers or cuts a stream between the hub and the browser, use 'caddy sse-push doctor'.`),
		Example: examples("caddy sse-push explain u1", "caddy sse-push explain u1 2v5oocjd.7", "caddy sse-push explain --json 2v5oocjd.7"),
		Args:    cobra.RangeArgs(1, 2),
		RunE: admin(func(ctx context.Context, cmd *cobra.Command, args []string, c *adminClient, path string) error {
			query := url.Values{}
			switch user := cmd.Flag("user").Changed; {
			case len(args) == 2 && user:
				return errors.New("--user takes only one argument")
			case len(args) == 2:
				query.Set("who", args[0])
				query.Set("event", args[1])
			case isEventID(args[0]) && !user:
				query.Set("event", args[0])
			default:
				query.Set("who", args[0])
			}
			var x api.Explanation
			if err := c.call(ctx, http.MethodGet, path+"/explain", query, "", &x); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetEscapeHTML(false)
				return enc.Encode(x)
			}
			printExplanation(cmd.OutOrStdout(), &x)
			return nil
		}),
	}, true)
	cmd.Flags().Bool("user", false, "Take the argument as a user, even if it looks like an event's id")
	cmd.Flags().Bool("json", false, "Print the answer as JSON")
	return cmd
}

// isEventID reports whether a text has the form of an event's id.
func isEventID(s string) bool {
	s, _, _ = strings.Cut(s, "~")
	_, ok := broker.ParsePosition(s)
	return ok
}

func printExplanation(out io.Writer, x *api.Explanation) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-9s %s\n", name+":", printable(fmt.Sprintf(format, args...)))
	}
	if x.Verdict != "" {
		line("verdict", "%s", x.Verdict)
		line("why", "%s", x.Detail)
	}
	if e := x.Event; e != nil {
		line("event", "%s", e.ID)
		if e.Time != nil {
			line("at", "%s, %d bytes", e.Time.Local().Format(time.DateTime), e.Bytes)
			line("to", "%s", strings.Join(e.Targets, ", "))
		}
		if e.Expires != nil {
			line("expires", "%s", e.Expires.Local().Format(time.DateTime))
		}
	}
	for _, v := range slices.Sorted(maps.Keys(x.Counts)) {
		line("count", "%d %s", x.Counts[v], v)
	}
	for _, a := range x.Connections {
		fmt.Fprintln(out)
		line("conn", "%s", a.Connection)
		line("user", "%s", a.User)
		if len(a.Topics) > 0 {
			line("topics", "%s", strings.Join(a.Topics, " "))
		}
		until := "now"
		if a.Until != nil {
			until = a.Until.Local().Format(time.DateTime) + " (" + a.Reason + ")"
		}
		line("open", "%s to %s", a.Since.Local().Format(time.DateTime), until)
		line("verdict", "%s", a.Verdict)
		line("why", "%s", a.Detail)
	}
}
