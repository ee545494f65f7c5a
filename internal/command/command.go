// Package command implements `caddy sse-push`. Most of its commands ask a running Caddy through its admin endpoint; the others
// open streams as a client does. It uses the types of internal/api's answers, and no function of a hub or the pool.
package command

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "sse-push",
		Usage: "<command>",
		Short: "Shows and controls the hubs of a running Caddy",
		Long: `
Shows and controls the hubs of a running Caddy.

Commands that talk to a hub use Caddy's admin endpoint. They find it as 'caddy stop' does: by --address, or the admin
address in --config, or the environment variable CADDY_ADMIN, or localhost:2019. --hub is only needed if Caddy has several
hubs.

With --json, each row or event is one line of JSON, unchanged. Without it, control characters in names and data are
escaped.

A command exits with 0 on success, with 1 if it is refused or an argument is wrong, with 2 if nothing answers, and with 130
if a signal interrupts it. 'subscribe' and 'tail' exit with 0 if a signal stops them.
`,
		CobraFunc: func(cmd *cobra.Command) {
			for _, sub := range subcommands {
				cmd.AddCommand(sub())
			}
		},
	})
}

// subcommands make the commands below `caddy sse-push`.
var subcommands = []func() *cobra.Command{
	publishCommand, subscribeCommand, hubsCommand, connectionsCommand, usersCommand, topicsCommand, sourcesCommand, relaysCommand,
	kickCommand, tailCommand, ticketCommand, explainCommand, doctorCommand,
}
