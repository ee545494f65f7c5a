#!/bin/sh
# What `make run` starts: Caddy with the demo, a stand-in for apps that stream, and the PHP examples where PHP is installed. Ctrl-C ends
# all of it.
set -eu
cd "$(dirname "$0")/.."

php_pid=
others= # the process ids of all else but Caddy
stop() {
	trap - INT TERM EXIT
	[ -z "$php_pid" ] || kill -- "-$php_pid" 2>/dev/null || true
	# shellcheck disable=SC2086 # a list
	[ -z "$others" ] || kill $others 2>/dev/null || true
	[ -z "${caddy_pid:-}" ] || kill "$caddy_pid" 2>/dev/null || true
	wait 2>/dev/null || true
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

# What runs beside Caddy, and what does not.
pages=
page() { # page <name> <path>: a page of the PHP examples
	pages="$pages
  $1http://localhost:8081$2"
}
if command -v php >/dev/null 2>&1; then
	# In a process group of its own, as a killed php -S leaves its workers behind.
	PHP_CLI_SERVER_WORKERS=4 SSE_PUSH_URL="${SSE_PUSH_URL:-http://localhost:8080/_sse}" \
		setsid php -q -S 127.0.0.1:9001 -t examples/php/chat/public >/dev/null 2>&1 &
	php_pid=$!
	page "A chat in PHP      " "/          any name, password: open sesame"
	page "A ticker in PHP    " "/ticker/   start it: php examples/php/ticker/ticker.php"
else
	pages="
  PHP is not installed, so its chat and ticker are left out (Debian: apt-get install php-cli php-curl)."
fi
fpm=
for name in php-fpm php-fpm8.2 php-fpm8.3 php-fpm8.4 php-fpm8.5; do
	fpm=$(PATH="$PATH:/usr/sbin" command -v "$name") && break
done
if [ -n "$fpm" ]; then
	root=
	[ "$(id -u)" != 0 ] || root=--allow-to-run-as-root
	for example in loop tokens; do
		# shellcheck disable=SC2086 # no argument, if it is empty
		"$fpm" --nodaemonize $root --fpm-config examples/php/$example/php-fpm.conf >/dev/null 2>&1 &
		others="$others $!"
	done
	page "A PHP loop, shared " "/loop/"
	page "Answers of a model " "/tokens/   relayed by PHP; the model is a stand-in"
else
	pages="$pages
  php-fpm is not installed, so its loop and its answers of a model are left out (Debian: apt-get install php-fpm)."
fi
./modelapi >/dev/null 2>&1 &
others="$others $!"
./caddy run --config Caddyfile.example --adapter caddyfile &
caddy_pid=$!
# Its log would push the addresses out of sight.
until ./caddy sse-push hubs >/dev/null 2>&1; do
	kill -0 "$caddy_pid" 2>/dev/null || wait "$caddy_pid" # it has said why
	sleep 0.2
done
cat <<END

Ready. Open this, and click through the three ways (Ctrl-C ends it):

  The demo           http://localhost:8080/$pages

END
wait "$caddy_pid"
