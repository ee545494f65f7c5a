package command

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/sse-push/caddy-sse-push/internal/api"
)

func kickCommand() *cobra.Command {
	cmd := adminFlags(&cobra.Command{
		Use:   "kick [<user>]",
		Short: "Ends all streams of a user, or one connection",
		Long: longText(`
Ends all streams of a user, on all nodes. With --connection, it ends only that connection. If there is no such user or
connection, the command says so and exits with 1. A browser reconnects by itself, as a new connection: to keep a user out
for good, let the app refuse the user. With --deny, the hub refuses the user for a time, connected or not, and the user's
pages stop reconnecting until they are loaded again.`),
		Example: examples("caddy sse-push kick u1", "caddy sse-push kick u3 --deny 10m", "caddy sse-push kick --connection 4fzzzhjFvcUxzS1cCLP0hg"),
		Args:    cobra.MaximumNArgs(1),
		RunE: admin(func(ctx context.Context, cmd *cobra.Command, args []string, c *adminClient, path string) error {
			id := cmd.Flag("connection").Value.String()
			if (id == "") == (len(args) == 0) {
				return fmt.Errorf("give a user, or --connection with a connection's id")
			}
			var query url.Values
			if deny := cmd.Flag("deny"); deny.Changed {
				query = url.Values{"deny": {deny.Value.String()}}
			}
			switch {
			case id != "" && query != nil:
				return fmt.Errorf("--deny needs a user: a connection has a new id when it comes back")
			case id != "":
				return c.call(ctx, http.MethodDelete, path+"/connections/"+pathSegment(id), nil, "", nil)
			case args[0] == "":
				return fmt.Errorf("the user's name is empty")
			}
			return kickUser(ctx, c, path+"/users/"+pathSegment(args[0]), args[0], query)
		}),
	}, true)
	cmd.Flags().String("connection", "", "The id of the connection to end")
	cmd.Flags().Duration("deny", 0, "Refuse the user for this long, at most 24h; 0s ends an earlier refusal")
	return cmd
}

// kickUser ends a user's streams. It returns an error if the user had none, unless the call denies the user or ends that,
// which needs no stream. It counts the streams first, as none are left afterwards. A stream that another node has admitted
// within the last second is ended too, but may not be counted yet.
func kickUser(ctx context.Context, c *adminClient, path, user string, deny url.Values) error {
	var before api.UserCount
	counted := deny == nil && c.call(ctx, http.MethodGet, path, nil, "", &before) == nil // a count that fails must not keep a user connected
	if err := c.call(ctx, http.MethodDelete, path, deny, "", nil); err != nil {
		return err
	}
	if counted && before.Connections == 0 {
		return fmt.Errorf("user %s was not connected", user)
	}
	return nil
}
