package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/sse-push/caddy-sse-push/internal/api"
)

// adminFlags adds the flags of a command that calls the admin endpoint of a running Caddy.
func adminFlags(cmd *cobra.Command, hub bool) *cobra.Command {
	cmd.Flags().String("address", "", "The address of Caddy's admin endpoint")
	cmd.Flags().StringP("config", "c", "", "The config file that has this address")
	cmd.Flags().StringP("adapter", "a", "", "The adapter of that config file")
	if hub {
		cmd.Flags().String("hub", "", "The hub's name; required if there are several")
	}
	return cmd
}

// adminClient calls the admin endpoint of a running Caddy.
type adminClient struct {
	http    http.Client
	origin  string
	address string
	remote  bool // over TCP, where the endpoint requires its own origin
}

func newAdminClient(cmd *cobra.Command) (*adminClient, error) {
	flag := func(name string) string { return cmd.Flag(name).Value.String() }
	address, err := caddycmd.DetermineAdminAPIAddress(flag("address"), nil, flag("config"), flag("adapter"))
	if err != nil {
		return nil, fmt.Errorf("finding the admin endpoint's address: %w", err)
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 {
		return nil, fmt.Errorf("%q is not the address of an admin endpoint", address)
	}
	c := &adminClient{address: address, remote: !parsed.IsUnixNetwork(), origin: "http://127.0.0.1"}
	network, at := parsed.Network, parsed.JoinHostPort(0)
	if c.remote {
		c.origin = "http://" + at
	} else {
		at, _, _ = strings.Cut(at, "|") // the socket's permissions follow
	}
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at)
		},
	}
	return c, nil
}

// do sends a call and returns the answer to it; path is what follows /sse_push/hubs.
func (c *adminClient) do(ctx context.Context, method, path string, query url.Values, body string) (*http.Response, error) {
	target := c.origin + api.AdminPrefix + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.remote {
		r.Header.Set("Origin", c.origin)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if e := new(url.Error); errors.As(err, &e) { // without the URL, which says nothing more
			err = e.Err
		}
		return nil, awayError{fmt.Errorf("the admin endpoint of Caddy at %s does not answer: %w", c.address, err)}
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusedBy(resp)
}

// refusedBy returns the error that an answer describes.
func refusedBy(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var said struct{ Detail, Error string }
	if json.Unmarshal(text, &said) == nil && said.Detail+said.Error != "" {
		return errors.New(said.Detail + said.Error)
	}
	if resp.StatusCode == http.StatusNotFound {
		return errors.New("HTTP 404: this Caddy does not have the sse_push module")
	}
	return fmt.Errorf("HTTP %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
}

// call sends a call and decodes the answer. body may be empty, and into nil.
func (c *adminClient) call(ctx context.Context, method, path string, query url.Values, body string, into any) error {
	resp, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

// hubPath returns the path of the hub that a command is about: the one of --hub, or the only one.
func (c *adminClient) hubPath(ctx context.Context, cmd *cobra.Command) (string, error) {
	if name := cmd.Flag("hub").Value.String(); name != "" {
		return "/" + pathSegment(name), nil
	}
	var list api.HubList
	if err := c.call(ctx, http.MethodGet, "", nil, "", &list); err != nil {
		return "", err
	}
	if len(list.Hubs) == 1 {
		return "/" + pathSegment(list.Hubs[0].Hub), nil
	}
	names := make([]string, len(list.Hubs))
	for i, h := range list.Hubs {
		names[i] = h.Hub
	}
	return "", fmt.Errorf("give --hub; the hubs are: %s", cmp.Or(strings.Join(names, ", "), "none"))
}

// pathSegment escapes a name so that nothing on the way takes it for more than one segment, or for "." or "..".
func pathSegment(name string) string {
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// adminTask is what a command does that talks to a hub; path is the hub's.
type adminTask func(ctx context.Context, cmd *cobra.Command, args []string, c *adminClient, path string) error

func admin(f adminTask) func(*cobra.Command, []string) error {
	return runs(asking(f))
}

func asking(f adminTask) task {
	return func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, err := newAdminClient(cmd)
		if err != nil {
			return err
		}
		path := ""
		if cmd.Flag("hub") != nil {
			if path, err = c.hubPath(ctx, cmd); err != nil {
				return err
			}
		}
		return f(ctx, cmd, args, c, path)
	}
}
