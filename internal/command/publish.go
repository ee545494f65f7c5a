package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sse-push/caddy-sse-push/internal/api"
)

func publishCommand() *cobra.Command {
	cmd := adminFlags(&cobra.Command{
		Use:   "publish [<data>]",
		Short: "Publishes an event",
		Long: longText(`
Publishes an event to users, topics, connections or everybody, and prints its id. The data is the argument, or standard
input if there is none; it is sent unchanged.`),
		Example: examples("caddy sse-push publish --user u1 'order 7 has shipped'",
			"caddy sse-push publish --topic orders/42 --event status '{\"paid\": true}'",
			"date | caddy sse-push publish --broadcast --event time --ttl 1m"),
		Args: cobra.MaximumNArgs(1),
		RunE: admin(func(ctx context.Context, cmd *cobra.Command, args []string, c *adminClient, path string) error {
			event, err := eventOf(ctx, cmd, args)
			if err != nil {
				return err
			}
			body, err := json.Marshal(event)
			if err != nil {
				return err
			}
			var stored api.Published
			if err := c.call(ctx, http.MethodPost, path+"/publish", nil, string(body), &stored); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(stored)
			}
			fmt.Fprintln(cmd.OutOrStdout(), stored.ID)
			return nil
		}),
	}, true)
	f := cmd.Flags()
	f.StringArray("user", nil, "Send to this user; may be repeated, like the other targets")
	f.StringArray("topic", nil, "Send to this topic")
	f.StringArray("connection", nil, "Send to the connection with this id")
	f.Bool("broadcast", false, "Send to everybody")
	f.StringArray("exclude", nil, "Do not send to the connection with this id")
	f.String("event", "", "The event's name")
	f.String("id", "", "The event's id in the app")
	f.String("coalesce", "", "A key; of the waiting events with this key, only the newest is sent")
	f.String("idempotency-key", "", "A key; an event with the same key as one of the last ten minutes is not stored again")
	f.Duration("ttl", 0, "How long the event is worth sending, in whole seconds, such as 1m")
	f.Duration("retry", 0, "Set the browsers' reconnection time, such as 5s; at least 500ms")
	f.Bool("json", false, "Print the answer as JSON")
	return cmd
}

// eventOf returns the event that a command's flags and arguments describe, as the internal route takes it.
func eventOf(ctx context.Context, cmd *cobra.Command, args []string) (map[string]any, error) {
	event := map[string]any{}
	for flag, field := range map[string]string{"user": "users", "topic": "topics", "connection": "connections", "exclude": "exclude"} {
		if list, _ := cmd.Flags().GetStringArray(flag); cmd.Flag(flag).Changed {
			event[field] = list
		}
	}
	if all, _ := cmd.Flags().GetBool("broadcast"); all {
		event["broadcast"] = true
	}
	for flag, field := range map[string]string{"event": "event", "id": "id", "coalesce": "coalesce", "idempotency-key": "idempotency_key"} {
		if cmd.Flag(flag).Changed {
			event[field] = cmd.Flag(flag).Value.String()
		}
	}
	for flag, unit := range map[string]time.Duration{"ttl": time.Second, "retry": time.Millisecond} {
		d, _ := cmd.Flags().GetDuration(flag)
		if d%unit != 0 {
			return nil, fmt.Errorf("--%s must be a multiple of %s", flag, unit)
		}
		if cmd.Flag(flag).Changed {
			event[flag] = int64(d / unit)
		}
	}
	data, err := commandInput(ctx, cmd, args)
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(data) {
		return nil, errors.New("the data is not UTF-8")
	}
	event["data"] = data
	return event, nil
}
