package command

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

func ticketCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ticket",
		Short: "Makes or reads a ticket",
		Long: longText(`
Makes tickets as an app does, and reads them as a hub does. The secret comes from an environment variable or a file, never
from the command line, where others could see it.`),
		Args: cobra.NoArgs,
	}
	mint := secretFlags(&cobra.Command{
		Use:     "mint <user>",
		Short:   "Makes a ticket",
		Example: examples("caddy sse-push ticket mint u1", "caddy sse-push ticket mint u1 --topic orders/42 --expires 10m --once"),
		Args:    cobra.ExactArgs(1),
		RunE:    runs(mintTicket),
	})
	mint.Flags().StringArray("topic", nil, "Grant this topic; may be repeated")
	mint.Flags().Duration("expires", time.Hour, "How long it is valid")
	mint.Flags().Bool("once", false, "Valid for one stream only")
	read := secretFlags(&cobra.Command{
		Use:   "read [<ticket>]",
		Short: "Shows what a ticket says, and whether it is valid",
		Long: longText(`
Shows what a ticket says, and whether it is valid. Without the secret, it does not check the signature. The ticket is the
argument, or standard input if there is none.`),
		Example: examples("caddy sse-push ticket mint u1 | caddy sse-push ticket read"),
		Args:    cobra.MaximumNArgs(1),
		RunE:    runs(readTicketCommand),
	})
	read.Flags().Bool("json", false, "Print it as JSON")
	cmd.AddCommand(mint, read)
	return cmd
}

const secretVariable = "SSE_PUSH_TICKET_SECRET"

func secretFlags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String("secret-env", secretVariable, "The environment variable that holds the secret")
	cmd.Flags().String("secret-file", "", "The file that holds the secret instead")
	return cmd
}

// ticketSecret returns the secret, "" if none is given. No error repeats it.
func ticketSecret(cmd *cobra.Command) (string, error) {
	name := cmd.Flag("secret-env").Value.String()
	text, where := os.Getenv(name), "the environment variable "+name
	if file := cmd.Flag("secret-file").Value.String(); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		text, where = string(b), file
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", nil
	}
	if err := secret.CheckKey(text); err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	return text, nil
}

func mintTicket(_ context.Context, cmd *cobra.Command, args []string) error {
	secret, err := ticketSecret(cmd)
	if err != nil {
		return err
	}
	if secret == "" {
		return fmt.Errorf("set %s to the secret, or give --secret-file", cmd.Flag("secret-env").Value)
	}
	if err := rules.CheckName(args[0]); err != nil {
		return fmt.Errorf("user %w", err)
	}
	lifetime, _ := cmd.Flags().GetDuration("expires")
	if lifetime < time.Second {
		return errors.New("--expires must be at least 1s")
	}
	topics, _ := cmd.Flags().GetStringArray("topic")
	if err := identity.CheckTopics(topics); err != nil {
		return fmt.Errorf("--topic: %w", err)
	}
	payload := identity.TicketPayload{User: args[0], Topics: topics, Exp: time.Now().Add(lifetime).Unix()}
	if once, _ := cmd.Flags().GetBool("once"); once {
		payload.Once = rand.Text()
	}
	fmt.Fprintln(cmd.OutOrStdout(), payload.Sign([]byte(secret)))
	return nil
}

func readTicketCommand(ctx context.Context, cmd *cobra.Command, args []string) error {
	text, err := commandInput(ctx, cmd, args)
	if err != nil {
		return err
	}
	secret, err := ticketSecret(cmd)
	if err != nil {
		return err
	}
	text = strings.TrimSpace(text)
	g, err := identity.ReadTicket(text)
	if err != nil {
		return fmt.Errorf("this is not a ticket: %w", err)
	}
	said := struct {
		User    string    `json:"user"`
		Topics  []string  `json:"topics"`
		Expires time.Time `json:"expires"`
		Once    bool      `json:"once"`
		Status  string    `json:"status"`
	}{g.User, append([]string{}, g.Topics...), g.Expires.UTC(), g.Once != "", "valid"}
	var bad error
	switch {
	case secret != "":
		if bad = identity.CheckTicket(text, []byte(secret)); bad != nil {
			said.Status = bad.Error()
		}
	case !time.Now().Before(g.Expires):
		bad = errors.New("expired")
		said.Status = "expired; the signature was not checked"
	default:
		said.Status = "the signature was not checked: set " + cmd.Flag("secret-env").Value.String()
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(said); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "user:    %s\ntopics:  %s\nexpires: %s\nonce:    %t\nstatus:  %s\n", printable(said.User),
			printable(cmp.Or(strings.Join(said.Topics, " "), "none of its own")), said.Expires.Local().Format(time.RFC3339), said.Once, said.Status)
	}
	if bad != nil {
		return errors.New("the ticket is not valid: " + bad.Error())
	}
	return nil
}
