// Command caddy is stock Caddy with the sse_push module, every broker and every protocol linked in, for `go run ./cmd/caddy`. It equals the result of
//
//	xcaddy build --with github.com/sse-push/caddy-sse-push \
//		--with github.com/sse-push/caddy-sse-push/broker/redisbroker \
//		--with github.com/sse-push/caddy-sse-push/broker/natsbroker \
//		--with github.com/sse-push/caddy-sse-push/mercure
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/sse-push/caddy-sse-push"
	_ "github.com/sse-push/caddy-sse-push/broker/natsbroker"
	_ "github.com/sse-push/caddy-sse-push/broker/redisbroker"
	_ "github.com/sse-push/caddy-sse-push/mercure"
)

func main() { caddycmd.Main() }
