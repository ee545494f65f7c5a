#!/bin/sh
# What `make run` starts: Caddy with the demo, and the PHP examples where PHP is installed. Ctrl-C ends all of it.
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

echo "The demo:      http://localhost:8080/"
if command -v php >/dev/null 2>&1; then
	# In a process group of its own, as a killed php -S leaves its workers behind.
	PHP_CLI_SERVER_WORKERS=4 SSE_PUSH_URL="${SSE_PUSH_URL:-http://localhost:8080/_sse}" \
		setsid php -q -S 127.0.0.1:9001 -t examples/php/chat/public >/dev/null 2>&1 &
	php_pid=$!
	echo "The PHP chat:  http://localhost:8081/"
	echo "A PHP ticker:  http://localhost:8081/ticker/ (start it with: php examples/php/ticker/ticker.php)"
else
	echo "PHP is not installed, so the PHP chat is left out (Debian: apt-get install php-cli php-curl)."
fi
for fpm in php-fpm php-fpm8.2 php-fpm8.3 php-fpm8.4 php-fpm8.5; do
	fpm=$(PATH="$PATH:/usr/sbin" command -v "$fpm") || continue
	root=
	[ "$(id -u)" != 0 ] || root=--allow-to-run-as-root
	for example in loop tokens; do
		# shellcheck disable=SC2086 # no argument, if it is empty
		"$fpm" --nodaemonize $root --fpm-config examples/php/$example/php-fpm.conf >/dev/null 2>&1 &
		others="$others $!"
	done
	./modelapi >/dev/null 2>&1 &
	others="$others $!"
	echo "A PHP loop:    http://localhost:8081/loop/"
	echo "Tokens:        http://localhost:8081/tokens/ (answers of a model, here a stand-in, through PHP)"
	break
done
[ -n "$others" ] || echo "php-fpm is not installed, so the PHP loop and tokens are left out (Debian: apt-get install php-fpm)."
./caddy run --config Caddyfile.example --adapter caddyfile &
caddy_pid=$!
wait "$caddy_pid"
