#!/bin/sh
# One would guess: Caddy speaks HTTP/2 without TLS only if `h2c` is among the server's `protocols`, as the comment at the option says.
#   With the defaults (h1 h2 h3), a site of http:// answers HTTP/1.1 only, and its log says so: "HTTP/2 skipped because it requires TLS".
# What happens: (Caddy 2.11.9) with the defaults it answers HTTP/2 with prior knowledge, in spite of that line of its log. h2 among the
#   protocols is enough. With `protocols h1` it does not. So a proxy that only ends TLS and passes on the HTTP/2 of its clients works
#   in front of a Caddy that nobody has told about it.
# Seen (2026-11-28): HTTP version and status of curl --http2-prior-knowledge:
#   nothing listed:       2 200, and the log says that HTTP/2 is skipped
#   protocols h1:         0 000
#   protocols h1 h2c:     2 200
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

ask() { # ask <server options>: what a client of HTTP/2 gets
	cat >"$dir/Caddyfile" <<-END
		{
			admin off
			servers {
				$1
			}
		}
		http:// {
			bind unix/$dir/socket
			respond hello
		}
	END
	rm -f "$dir/socket"
	"$dir/caddy" run --config "$dir/Caddyfile" --adapter caddyfile >"$dir/log" 2>&1 &
	caddy=$!
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ ! -S "$dir/socket" ] || break
		sleep 0.5
	done
	[ -S "$dir/socket" ] || {
		cat "$dir/log"
		echo "Caddy $version does not start"
		exit 2
	}
	curl -s --http2-prior-knowledge --unix-socket "$dir/socket" -o /dev/null -w '%{http_version} %{http_code}' http://localhost/ || true
	kill "$caddy"
	wait "$caddy" || true
	caddy=
}

usual=$(ask "")
skipped=no
! grep -q "HTTP/2 skipped because it requires TLS" "$dir/log" || skipped=yes
old=$(ask "protocols h1")
told=$(ask "protocols h1 h2c")

echo "nothing listed:       $usual (its log says that HTTP/2 is skipped: $skipped)"
echo "protocols h1:         $old"
echo "protocols h1 h2c:     $told"
[ "$usual" = "2 200" ] && [ $skipped = yes ] && [ "$old" = "0 000" ] && [ "$told" = "2 200" ] && exit 0
echo "changed"
exit 1
