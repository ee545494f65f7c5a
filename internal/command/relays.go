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
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/sse-push/caddy-sse-push/internal/api"
)

func relaysCommand() *cobra.Command {
	cmd := listFlags(&cobra.Command{
		Use:   "relays [<relay>]",
		Short: "Lists the relays of all nodes, newest first; shows or stops one",
		Long: longText(`
Lists the relays of all nodes, newest first: streams that the hub fetches for the app ("relay" in the Caddyfile). It shows
those that run and those that ended in the last 15 minutes, and counts the listeners on this node. With an id, it shows that
relay only; with --stop, it ends that relay, whichever node runs it.

Statuses: running, complete, cancelled (it was stopped), failed (ERROR says why), interrupted (its node has ended). DONE says
whether the app has accepted the call that reports the end: pending or taken.`),
		Example: examples("caddy sse-push relays", "caddy sse-push relays --status failed --limit 0", "caddy sse-push relays --user u1 --json",
			"caddy sse-push relays chat-7-42", "caddy sse-push relays chat-7-42 --stop"),
		RunE: admin(func(ctx context.Context, cmd *cobra.Command, args []string, c *adminClient, path string) error {
			stop, _ := cmd.Flags().GetBool("stop")
			switch {
			case len(args) == 0 && stop:
				return errors.New("--stop needs the id of a relay")
			case len(args) == 0:
				return listRelays(ctx, cmd, c, path+"/relays")
			case args[0] == "":
				return errors.New("the relay's id is empty")
			case cmd.Flag("user").Changed || cmd.Flag("status").Changed:
				return errors.New("--user and --status are for the list")
			case stop:
				return c.call(ctx, http.MethodDelete, path+"/relays/"+pathSegment(args[0]), nil, "", nil)
			}
			return showRelay(ctx, cmd, c, path+"/relays/"+pathSegment(args[0]))
		}),
	}, true)
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.Flags().String("user", "", "Only relays of this user")
	cmd.Flags().String("status", "", "Only relays of this status")
	cmd.Flags().Bool("stop", false, "End the relay")
	return cmd
}

// listRelays prints the relays that the flags choose.
func listRelays(ctx context.Context, cmd *cobra.Command, c *adminClient, path string) error {
	query := url.Values{}
	for _, name := range []string{"user", "status"} {
		if v := cmd.Flag(name).Value.String(); v != "" {
			query.Set(name, v)
		}
	}
	return printList(ctx, cmd, c, path, query, newPrinter(cmd, "RELAY", "FOR", "STATUS", "LISTENERS", "EVENTS", "BYTES", "SINCE", "TOOK", "DONE", "ERROR"),
		func(l *api.RelayList) ([]api.Relay, int, string) { return l.Relays, l.Total, l.Next },
		func(r *api.Relay) []string {
			return []string{
				r.ID, audience(r), r.Status, strconv.Itoa(r.Listeners), strconv.FormatUint(r.Events, 10), humanize.IBytes(r.Bytes),
				r.Since.Local().Format(time.DateTime), took(r), r.Done, r.Error,
			}
		})
}

// audience says who may hear a relay.
func audience(r *api.Relay) string {
	if r.User != "" {
		return "user " + r.User
	}
	return "topic " + r.Topic
}

// took returns how long a relay has run.
func took(r *api.Relay) string {
	until := time.Now()
	if r.Ended != nil {
		until = *r.Ended
	}
	return max(until.Sub(r.Since), 0).Round(100 * time.Millisecond).String()
}

// showRelay prints one relay.
func showRelay(ctx context.Context, cmd *cobra.Command, c *adminClient, path string) error {
	var r api.Relay
	if err := c.call(ctx, http.MethodGet, path, nil, "", &r); err != nil {
		return err
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	}
	printRelay(cmd.OutOrStdout(), &r)
	return nil
}

func printRelay(out io.Writer, r *api.Relay) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "%-10s %s\n", name+":", printable(value))
		}
	}
	line("relay", r.ID)
	line("for", audience(r))
	line("status", r.Status)
	line("error", r.Error)
	line("since", r.Since.Local().Format(time.DateTime))
	line("took", took(r))
	line("events", fmt.Sprintf("%d, %s", r.Events, humanize.IBytes(r.Bytes)))
	line("listeners", strconv.Itoa(r.Listeners))
	if r.Attempts > 0 {
		line("attempts", strconv.Itoa(r.Attempts))
	}
	if r.HTTPStatus != 0 {
		line("answer", fmt.Sprintf("%d %s", r.HTTPStatus, http.StatusText(r.HTTPStatus)))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		line("header", name+": "+r.Headers[name])
	}
	line("body", r.Body)
	line("done", r.Done)
}
