// Command caddy is stock Caddy with the sse_push module linked in: what
// `xcaddy build --with github.com/sse-push/caddy-sse-push` makes, for `go run ./cmd/caddy`.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/sse-push/caddy-sse-push"
)

func main() { caddycmd.Main() }
