#!/bin/sh
# Builds a thread-safe PHP from Debian's sources, and FrankenPHP with this module, and tries what docs/howto/frankenphp.md says of both modes,
# with its Caddyfile. It is not part of CI, since it compiles PHP and all of FrankenPHP.
#
#	sh test/frankenphp.sh [<folder>]     # what is built stays in the folder
#
# It needs what test/deps.sh installs, and dpkg-dev, make, pkg-config, iproute2 and util-linux. The servers run in a network of their own.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
built=${1:-$(mktemp -d)}
mkdir -p "$built"
built=$(cd "$built" && pwd)

php() ( # builds PHP
	cd "$built"
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	echo "deb-src http://deb.debian.org/debian $suite main" >sources.list
	mkdir -p lists/partial
	set -- -o Dir::Etc::sourcelist="$PWD/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$PWD/lists"
	apt-get "$@" update
	version=$(apt-cache "$@" showsrc php8.2 | sed -n 's/^Version: //p' | sort -V | tail -n 1)
	apt-get "$@" source --download-only "php8.2=$version"
	tar xf php8.2_*.orig.tar.xz
	cd php-8.2.*/
	./configure --prefix="$built/php" --disable-all --disable-cgi --disable-phpdbg --enable-embed --enable-zts --disable-zend-signals \
		--enable-zend-max-execution-timers --enable-session --enable-ctype --enable-filter
	make -j2
	make install
)

franken() ( # builds FrankenPHP
	mkdir -p "$built/program"
	cd "$built/program"
	cat >main.go <<-END
		package main

		import (
			caddycmd "github.com/caddyserver/caddy/v2/cmd"
			_ "github.com/caddyserver/caddy/v2/modules/standard"
			_ "github.com/dunglas/frankenphp/caddy"
			_ "github.com/sse-push/caddy-sse-push"
			_ "github.com/sse-push/caddy-sse-push/mercure"
		)

		func main() { caddycmd.Main() }
	END
	rm -f go.mod
	go mod init frankenphp
	go mod edit -require=github.com/dunglas/frankenphp@v1.12.7 -require=github.com/dunglas/frankenphp/caddy@v1.12.6 \
		-require=github.com/sse-push/caddy-sse-push@v0.0.0 -replace=github.com/sse-push/caddy-sse-push="$top"
	config=$built/php/bin/php-config
	CGO_ENABLED=1 CGO_CFLAGS=$("$config" --includes) CGO_LDFLAGS="-L$built/php/lib -Wl,-rpath,$built/php/lib $("$config" --ldflags) $("$config" --libs)" \
		go build -mod=mod -tags nobadger,nomysql,nopgx,nowatcher,nobrotli -o "$built/frankenphp" .
)

if [ -z "${INSIDE:-}" ]; then
	if [ ! -x "$built/php/bin/php-config" ]; then
		echo "building PHP in $built"
		php >"$built/php.log" 2>&1 || { tail -n 5 "$built/php.log"; exit 2; }
	fi
	echo "building FrankenPHP"
	franken >"$built/franken.log" 2>&1 || { tail -n 5 "$built/franken.log"; exit 2; }
	for mode in classic worker; do
		INSIDE=$mode unshare -rn sh "$here/frankenphp.sh" "$built"
	done
	exit
fi

# In the network of its own.
ip link set lo up
work=$(mktemp -d)
export HOME="$work" XDG_DATA_HOME="$work/data" XDG_CONFIG_HOME="$work/config"
export MERCURE_PUBLISHER_JWT_KEY=a-secret-for-publishers-of-these-tests MERCURE_SUBSCRIBER_JWT_KEY=a-secret-for-subscribers-of-these-tests
cp -r "$here/frankenphp/public" "$work/public"
cd "$work"
server=
streams=
trap 'kill $server $streams 2>/dev/null || true; rm -rf "$work"' EXIT

fail() {
	echo "NOT OK: $INSIDE: $*"
	tail -n 3 "$work/log"
	exit 1
}
is() { # is <what> <want> <got>
	[ "$2" = "$3" ] || fail "$1: want $2, got $3"
	echo "ok: $INSIDE: $1"
}
until_true() { # until_true <what> <command>: within 30 s
	what=$1
	shift
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "$what"
		sleep 0.1
	done
	echo "ok: $INSIDE: $what"
}
get() { curl -sk --max-time 30 "$@"; }
start() { # start <file> <URL that answers>
	"$built/frankenphp" run --config "$1" --adapter caddyfile >"$work/log" 2>&1 &
	server=$!
	until_true "FrankenPHP starts" get "$2"
}
reload() { "$built/frankenphp" reload --force --config "$1" --adapter caddyfile >"$work/reload" 2>&1 || fail "reload: $(tail -n 1 "$work/reload")"; }
stop() { # without streams, as Caddy waits for those of FrankenPHP's own hub
	kill $streams 2>/dev/null || true
	streams=
	kill "$server"
	wait "$server" || true
}
open() { # open <name> <curl's arguments>: a stream, which is written to a file
	curl -skN -H 'Accept: text/event-stream' -o "$@" 2>/dev/null &
	streams="$streams $!"
}
has() { [ "$(grep -c -- "$2" "$1")" -eq "$3" ]; }
heard() { until_true "$1 hears $2 (${3:-1})" has "$1" "$2" "${3:-1}"; }
goroutines() { get 'http://localhost:2019/debug/pprof/goroutine?debug=1' | sed -n '1s/.* //p'; }
encode() { openssl base64 -A | tr '+/' '-_' | tr -d =; }
signed=$(printf '{"alg":"HS256","typ":"JWT"}' | encode).$(printf '{"mercure":{"publish":["*"]}}' | encode)
token=$signed.$(printf %s "$signed" | openssl dgst -sha256 -hmac "$MERCURE_PUBLISHER_JWT_KEY" -binary | encode)

# The Caddyfile of the page, but for the trust in its certificates.
awk '/^## Caddyfile/ { here = 1 } here && /^```/ { if (inside) exit; inside = 1; next } inside' "$top/docs/howto/frankenphp.md" >Caddyfile
sed -i '0,/frankenphp/s//skip_install_trust\n\tfrankenphp/' Caddyfile
page="a script"
worker=
if [ "$INSIDE" = worker ]; then
	page="a worker"
	worker=' {\n\t\tworker public/index.php 2\n\t}'
	sed -i "s#php_server#&$worker#; s#/whoami.php#/whoami#" Caddyfile
fi

start Caddyfile https://localhost/
is "a page" "$page" "$(get https://localhost/)"
for user in ann $(seq 100); do get -c "$work/cookie-$user" "https://localhost/login?user=$user"; done
is "a stream without a session" 401 "$(get -o "$work/refused" -w '%{http_code}' 'https://localhost/events?topic=users/ann')"
open ann-h1 --http1.1 -b cookie-ann 'https://localhost/events?topic=users/ann'
open ann-h2 -b cookie-ann 'https://localhost/events?topic=users/ann'
open mercure 'https://localhost/.well-known/mercure?topic=https://example.com/books/1'
heard ann-h1 '"user":"ann"'
heard ann-h2 '"user":"ann"'
heard mercure sse:position
get https://localhost/save
heard ann-h1 'data: by header'
heard ann-h2 'data: by header'
get 'https://localhost/call?url=http://127.0.0.1:9090/_sse/publish' >answer
heard ann-h2 'data: by call'
get "https://localhost/symfony?token=$token&url=http://127.0.0.1:9090/.well-known/mercure" >answer
heard mercure 'data: by Symfony'
get https://localhost/own >answer
until_true "mercure_publish has no hub" grep "No Mercure hub" "$work/log"

before=$(goroutines)
for user in $(seq 50); do open "more-$user" --http1.1 -b "cookie-$user" "https://localhost/events?topic=users/$user"; done
for user in $(seq 51 100); do open "more-$user" -b "cookie-$user" "https://localhost/events?topic=users/$user"; done
for user in 1 50 51 100; do heard "more-$user" '"connection"'; done
few() { [ "$(goroutines)" -lt $((before + 20)) ]; }
until_true "100 more streams take no goroutines" few
is "a page beside 100 streams" "$page" "$(get https://localhost/)"

reload Caddyfile
get https://localhost/save
heard ann-h1 'data: by header' 2
heard ann-h2 'data: by header' 2
for stream in ann-h1 ann-h2 more-1 more-100; do heard "$stream" '"connection"'; done # once: it is the same stream
stop

# A script that answers the subscribe request, a script that loops, and FrankenPHP's own hub.
cat >Caddyfile.more <<END
{
	frankenphp
}
http://localhost:8080 {
	root public
	mercure {
		transport local
		publisher_jwt {env.MERCURE_PUBLISHER_JWT_KEY}
		subscriber_jwt {env.MERCURE_SUBSCRIBER_JWT_KEY}
		anonymous
	}
	sse_push /hold {
		hub main
		upstream
		mercure /hub {
			publisher_jwt {env.MERCURE_PUBLISHER_JWT_KEY}
			subscriber_jwt {env.MERCURE_SUBSCRIBER_JWT_KEY}
			anonymous
		}
	}
	sse_push /loop {
		hub main
		anonymous
		source {
			share everyone
		}
	}
	php_server$(printf '%b' "$worker")
}
END
site=http://localhost:8080
start Caddyfile.more $site/
open hold $site/hold
heard hold '"user":"ann"'
heard hold 'data: first'
for tab in $(seq 20); do open "loop-$tab" $site/loop; done
for tab in 1 20; do heard "loop-$tab" 'data: tick 9$'; done
is "a page beside 20 tabs of a loop" "$page" "$(get $site/)"
open own "$site/.well-known/mercure?topic=https://example.com/books/1"
open ours "$site/hub?topic=https://example.com/books/1"
heard ours sse:position
heard own '^:'
get $site/own >answer
heard own 'data: by mercure_publish'
get "$site/symfony?token=$token&url=$site/hub" >answer
heard ours 'data: by Symfony'
is "events of the two hubs" "1 1" "$(grep -c 'data: by' own) $(grep -c 'data: by' ours)"
reload Caddyfile.more
heard loop-20 'event: sse:gap' # FrankenPHP has ended the script, and it was started again
heard loop-20 'event: sse:connected'
is "a page after it" "$page" "$(get $site/)"
stop
