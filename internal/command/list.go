package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/sse-push/caddy-sse-push/internal/api"
)

// defaultShown is how many rows a command shows unless --limit says otherwise.
const defaultShown = 100

// listFlags adds the flags of a command that prints a list.
func listFlags(cmd *cobra.Command, ofHub bool) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.Flags().Bool("json", false, "Print each row as a line of JSON")
	cmd.Flags().Int("limit", defaultShown, "How many rows to show; 0 for all")
	return adminFlags(cmd, ofHub)
}

func hubsCommand() *cobra.Command {
	cmd := listFlags(&cobra.Command{
		Use:   "hubs",
		Short: "Lists the hubs, with their states and counters",
		Long: longText(`
Lists the hubs of a running Caddy: whether they are ready, how many connections and users they have on this node, how many
events were published and delivered, how many bytes wait for clients (pending) or have yet to be handed to connections
(lag), how many events the history holds, and how many sources and relays this node runs. A source is failing if its last
request to the app failed and it waits to try again: 'caddy sse-push sources' says why.

With --ready, for readiness probes, the command fails if there is no hub or one is not ready.`),
		Example: examples("caddy sse-push hubs", "caddy sse-push hubs --json", "caddy sse-push hubs --ready"),
		RunE: admin(func(ctx context.Context, cmd *cobra.Command, _ []string, c *adminClient, _ string) error {
			ready, err := cmd.Flags().GetBool("ready")
			if ready && err == nil {
				err = cmd.Flags().Set("limit", "0")
			}
			if err != nil {
				return err
			}
			var hubs int
			var unready []string
			err = printList(ctx, cmd, c, "", nil, newPrinter(cmd, "HUB", "STATUS", "CONNECTIONS", "USERS", "PUBLISHED", "DELIVERED", "PENDING", "LAG", "HISTORY",
				"SOURCES", "RELAYS"),
				func(l *api.HubList) ([]api.HubInfo, int, string) { return l.Hubs, l.Total, l.Next },
				func(h *api.HubInfo) []string {
					if hubs++; h.Status != "ready" {
						unready = append(unready, h.Hub)
					}
					sources := strconv.Itoa(h.Sources)
					if h.SourcesFailing > 0 {
						sources += fmt.Sprintf(" (%d failing)", h.SourcesFailing)
					}
					return []string{
						h.Hub, strings.Trim(h.Status+": "+h.Reason, ": "), strconv.Itoa(h.Connections), strconv.Itoa(h.Users), strconv.FormatUint(h.Published, 10),
						strconv.FormatUint(h.Delivered, 10), bytesText(h.Pending), bytesText(h.Lag), strconv.Itoa(h.HistoryEvents),
						sources, strconv.Itoa(h.Relays),
					}
				})
			switch {
			case err != nil || !ready:
				return err
			case hubs == 0:
				return errors.New("there is no hub")
			case len(unready) > 0:
				return fmt.Errorf("not ready: %s", strings.Join(unready, ", "))
			}
			return nil
		}),
	}, false)
	cmd.Flags().Bool("ready", false, "Fail unless all hubs are ready")
	return cmd
}

func connectionsCommand() *cobra.Command {
	cmd := listFlags(&cobra.Command{
		Use:   "connections",
		Short: "Lists a hub's open connections, oldest first",
		Long: longText(`
Lists a hub's open connections on this node, oldest first: their users, what they are subscribed to, and how many bytes
wait for them. A connection that is "catching up" reads from the history, because it has just resumed or is slow.`),
		Example: examples("caddy sse-push connections", "caddy sse-push connections --user u1 --limit 0",
			"caddy sse-push connections --topic orders/42 --json"),
		RunE: admin(func(ctx context.Context, cmd *cobra.Command, _ []string, c *adminClient, path string) error {
			query := url.Values{}
			for _, name := range []string{"user", "topic"} {
				if v := cmd.Flag(name).Value.String(); v != "" {
					query.Set(name, v)
				}
			}
			return printList(ctx, cmd, c, path+"/connections", query, newPrinter(cmd, "CONNECTION", "USER", "REMOTE", "SINCE", "EVENTS", "PENDING", "STATE", "TOPICS"),
				func(l *api.ConnectionList) ([]api.Connection, int, string) { return l.Connections, l.Total, l.Next },
				func(i *api.Connection) []string {
					state := "live"
					if i.CatchingUp {
						state = "catching up"
					}
					return []string{
						i.ID, i.User, i.Remote, i.Since.Local().Format(time.DateTime), strconv.FormatUint(i.Events, 10), bytesText(i.Pending), state,
						strings.Join(i.Topics, " "),
					}
				})
		}),
	}, true)
	cmd.Flags().String("user", "", "Only connections of this user")
	cmd.Flags().String("topic", "", "Only connections that get this topic")
	return cmd
}

func usersCommand() *cobra.Command {
	return listFlags(&cobra.Command{
		Use:     "users",
		Short:   "Lists the connected users, on all nodes, and how many connections each has",
		Example: examples("caddy sse-push users", "caddy sse-push users --limit 0 --json"),
		RunE: admin(func(ctx context.Context, cmd *cobra.Command, _ []string, c *adminClient, path string) error {
			return printList(ctx, cmd, c, path+"/users", nil, newPrinter(cmd, "USER", "CONNECTIONS"),
				func(l *api.UserList) ([]api.UserCount, int, string) { return l.Users, l.Total, l.Next },
				func(u *api.UserCount) []string { return []string{u.User, strconv.Itoa(u.Connections)} })
		}),
	}, true)
}

func topicsCommand() *cobra.Command {
	return listFlags(&cobra.Command{
		Use:     "topics",
		Short:   "Lists the subscribed topics, on all nodes, and how many connections each has",
		Example: examples("caddy sse-push topics"),
		RunE: admin(func(ctx context.Context, cmd *cobra.Command, _ []string, c *adminClient, path string) error {
			return printList(ctx, cmd, c, path+"/topics", nil, newPrinter(cmd, "TOPIC", "CONNECTIONS"),
				func(l *api.TopicList) ([]api.TopicCount, int, string) { return l.Topics, l.Total, l.Next },
				func(t *api.TopicCount) []string { return []string{t.Topic, strconv.Itoa(t.Connections)} })
		}),
	}, true)
}

func sourcesCommand() *cobra.Command {
	return listFlags(&cobra.Command{
		Use:   "sources",
		Short: "Lists the app's streams that this node shares, oldest first",
		Long: longText(`
Lists the app's streams that this node has opened to share them ("source" in the Caddyfile), oldest first. Clients that wait
for the app's first answer count as "asking".

States: opening (waits for the app's answer), open, waiting (opens the stream again in a moment), lingering (has no listeners
any more), ending (closed, but the app has not noticed yet).`),
		Example: examples("caddy sse-push sources", "caddy sse-push sources --limit 0 --json"),
		RunE: admin(func(ctx context.Context, cmd *cobra.Command, _ []string, c *adminClient, path string) error {
			return printList(ctx, cmd, c, path+"/sources", nil,
				newPrinter(cmd, "SOURCE", "PATH", "SHARED", "STATE", "LISTENERS", "ASKING", "EVENTS", "BYTES", "SINCE", "REOPENED", "LAST ERROR"),
				func(l *api.SourceList) ([]api.Source, int, string) { return l.Sources, l.Total, l.Next },
				func(s *api.Source) []string {
					return []string{
						s.ID, s.Path, s.Shared, s.State, strconv.Itoa(s.Listeners), strconv.Itoa(s.Asking), strconv.FormatUint(s.Events, 10),
						humanize.IBytes(s.Bytes), s.Since.Local().Format(time.DateTime), strconv.Itoa(s.Reopened), s.LastError,
					}
				})
		}),
	}, true)
}

func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// printList prints a list, page by page. rows takes a page of the answer apart: its rows, how many rows there are in all, and
// where the next page begins. cells returns the columns of a row.
func printList[L, T any](ctx context.Context, cmd *cobra.Command, c *adminClient, path string, query url.Values, p *printer,
	rows func(*L) ([]T, int, string), cells func(*T) []string) error {
	most, err := cmd.Flags().GetInt("limit")
	if err != nil || most < 0 {
		return fmt.Errorf("--limit must not be negative")
	}
	if query == nil {
		query = url.Values{}
	}
	for shown := 0; ; {
		ask := api.MaxRows
		if most > 0 {
			ask = min(ask, most-shown)
		}
		query.Set("limit", strconv.Itoa(ask))
		var page L
		if err := c.call(ctx, http.MethodGet, path, query, "", &page); err != nil {
			return err
		}
		list, total, next := rows(&page)
		values, texts := make([]any, len(list)), make([][]string, len(list))
		for i := range list {
			values[i], texts[i] = &list[i], cells(&list[i])
		}
		if err := p.page(values, texts); err != nil {
			return err
		}
		shown += len(list)
		switch {
		case next == "" && shown == 0 && p.json == nil:
			fmt.Fprintln(cmd.ErrOrStderr(), "There are none.")
			return nil
		case next == "":
			return nil
		case shown >= most && most > 0:
			fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d shown; --limit 0 shows all.\n", shown, total)
			return nil
		}
		query.Set("after", next)
	}
}
