#!/bin/sh
# One would guess: Caddy's server option `expected_underscore_headers X_Real_IP` lets that name through beside X-Real-IP, which
#   goes on reaching handlers: an app moves from one spelling to the other without a moment in which neither works.
# What happens: (Caddy 2.11.9) the name that is listed takes the place of its twin. X-Real-IP is now the one that is dropped,
#   without a word, also when it is sent alone. One of the two spellings reaches handlers, never both.
# Seen (2026-11-28):
#   X-Real-IP alone, nothing listed:    dash=1 underscore=
#   X-Real-IP alone, X_Real_IP listed:  dash= underscore=
#   both, X_Real_IP listed:             dash= underscore=2
set -eu
version=v2.11.9
dir=$(mktemp -d)
caddy=
trap '[ -z "$caddy" ] || kill "$caddy" 2>/dev/null || true; rm -rf "$dir"' EXIT

GOBIN=$dir GOFLAGS=-mod=mod go install "github.com/caddyserver/caddy/v2/cmd/caddy@$version" >"$dir/install" 2>&1 || {
	tail -n 3 "$dir/install"
	echo "cannot install Caddy $version"
	exit 2
}

respond='respond "dash={http.request.header.X-Real-IP} underscore={http.request.header.X_Real_IP}"'
serve() { # serve <server options>: Caddy on a socket
	cat >"$dir/Caddyfile" <<-END
		{
			admin off
			servers {
				$1
			}
		}
		http:// {
			bind unix/$dir/socket
			$respond
		}
	END
	rm -f "$dir/socket"
	"$dir/caddy" run --config "$dir/Caddyfile" --adapter caddyfile >"$dir/log" 2>&1 &
	caddy=$!
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ ! -S "$dir/socket" ] || return 0
		sleep 0.5
	done
	cat "$dir/log"
	echo "Caddy $version does not start"
	exit 2
}
ask() { curl -s --unix-socket "$dir/socket" "$@" http://localhost/; }
stop() {
	kill "$caddy"
	wait "$caddy" || true
	caddy=
}

serve ""
plain=$(ask -H 'X-Real-IP: 1')
stop
serve "expected_underscore_headers X_Real_IP"
alone=$(ask -H 'X-Real-IP: 1')
both=$(ask -H 'X-Real-IP: 1' -H 'X_Real_IP: 2')
stop

echo "X-Real-IP alone, nothing listed:    $plain"
echo "X-Real-IP alone, X_Real_IP listed:  $alone"
echo "both, X_Real_IP listed:             $both"
[ "$plain" = "dash=1 underscore=" ] && [ "$alone" = "dash= underscore=" ] && [ "$both" = "dash= underscore=2" ] && exit 0
echo "changed"
exit 1
