package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sse-push/caddy-sse-push/internal/api"
)

func tailCommand() *cobra.Command {
	cmd := adminFlags(&cobra.Command{
		Use:   "tail",
		Short: "Shows all events of a hub as they are delivered",
		Long: longText(`
Shows all events of a hub as they are delivered, with their targets, until it is stopped. Of long data, it shows only the
beginning. If events come faster than it can show them, it says that some are missing. It continues through a reload, and
through a restart of Caddy that takes no longer than 30 seconds.`),
		Example: examples("caddy sse-push tail --count 10", "caddy sse-push tail --count 1 --topic 'orders/*' --json",
			"caddy sse-push tail --count 1 --user u1 --text shipped"),
		Args: cobra.NoArgs,
		RunE: runs(untilSignal(asking(tail))),
	}, true)
	f := cmd.Flags()
	f.String("user", "", "Only events to this user")
	f.String("topic", "", "Only events to this topic, or to topics that this pattern matches")
	f.String("event", "", "Only events with this name")
	f.String("text", "", "Only events whose data contains this text, in the part that is shown")
	f.String("after", "", "Start after the event with this id, instead of now")
	f.Int("count", 0, "Stop after this many events; 0: never")
	f.Bool("json", false, "Print each event as a line of JSON")
	return cmd
}

const (
	// tailAgain is how long a tail waits before it asks again if Caddy has not answered.
	tailAgain = time.Second
	// tailPatience is how long Caddy may give no answer: a restart takes as long if Caddy closes many streams one after another.
	tailPatience = 30 * time.Second
)

func tail(ctx context.Context, cmd *cobra.Command, _ []string, c *adminClient, path string) error {
	count, _ := cmd.Flags().GetInt("count")
	asJSON, _ := cmd.Flags().GetBool("json")
	if count < 0 {
		return errors.New("--count must not be negative")
	}
	query := url.Values{}
	for _, name := range []string{"user", "topic", "event", "text", "after"} {
		if v := cmd.Flag(name).Value.String(); v != "" {
			query.Set(name, v)
		}
	}
	if id, _, ok := strings.Cut(query.Get("after"), "~"); ok {
		query.Set("after", id)
	}
	out := bufio.NewWriter(cmd.OutOrStdout())
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	shown := 0
	var away time.Time // since when Caddy has not answered; zero if it has
	for begun := false; ; begun = true {
		var page api.Tail
		if err := c.call(ctx, http.MethodGet, path+"/tail", query, "", &page); err != nil {
			// A reload may cut an answer short, and a restart takes a while, at whose end there may be no hub yet.
			if away.IsZero() {
				away = time.Now()
			}
			if !begun || ctx.Err() != nil || time.Since(away) > tailPatience {
				return err
			}
			if !pause(ctx, tailAgain) {
				return nil
			}
			continue
		}
		away = time.Time{}
		if page.Gap {
			fmt.Fprintln(cmd.ErrOrStderr(), "Events are missing here: the history no longer holds them.")
		}
		for i := range page.Events {
			e := &page.Events[i]
			if asJSON {
				_ = enc.Encode(e) // Flush returns the error
			} else {
				printEvent(out, e)
			}
			if shown++; shown == count {
				return out.Flush()
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
		query.Set("after", page.Next)
	}
}

// pause waits, and reports whether ctx was not done meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// printEvent prints an event as a block of lines.
func printEvent(out *bufio.Writer, e *api.TailEvent) {
	var to []string
	for kind, names := range map[string][]string{"user": e.Users, "topic": e.Topics, "connection": e.Connections} {
		for _, name := range names {
			to = append(to, kind+" "+printable(name))
		}
	}
	if e.Broadcast {
		to = append(to, "everybody")
	}
	if e.More > 0 {
		to = append(to, fmt.Sprintf("%d more", e.More))
	}
	fmt.Fprintf(out, "%s %s\nto: %s\nid: %s\n", e.Time.Local().Format(time.DateTime), printable(e.Event), strings.Join(to, ", "), printable(e.ID))
	printData(out, e.Data)
	if e.Size > len(e.Data) {
		fmt.Fprintf(out, "… %d bytes in all\n", e.Size)
	}
	fmt.Fprintln(out)
}

// printData prints an event's data line by line.
func printData(out *bufio.Writer, data string) {
	for line := range strings.SplitSeq(data, "\n") {
		fmt.Fprintf(out, "data: %s\n", printable(line))
	}
}
