#!/bin/sh
# Installs what the tests need on Debian: PHP (CLI, FPM), nginx, Redis, NATS, nghttp, Chromium, Python and Node from its packages, and
# the npm packages of this folder. What is there already is left alone.
set -eu
cd "$(dirname "$0")"

missing=
need() { # need <package> <command>...: the package, unless one of the commands is there
	package=$1
	shift
	for command; do
		if command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ]; then return; fi
	done
	missing="$missing $package"
}
need gcc gcc # for the race detector
need libc6-dev gcc
need php-cli php
need php-fpm php-fpm php-fpm8.2 php-fpm8.3 php-fpm8.4
need nginx-light nginx
need redis-server redis-server
need nats-server nats-server
need chromium chromium
need nodejs node
need npm npm
need curl curl
need python3 python3
need nghttp2-client nghttp h2load
for extension in curl redis; do
	if ! command -v php >/dev/null 2>&1 || ! php -m | grep -qx $extension; then missing="$missing php-$extension"; fi
done
if [ ! -e /usr/share/php/Symfony/Component/Mercure/autoload.php ]; then missing="$missing php-symfony-mercure"; fi
if [ -n "$missing" ]; then
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get update
	# shellcheck disable=SC2086 # a list of packages
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y --no-install-recommends $missing
fi
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules ]; then
	npm ci --no-audit --no-fund
	touch node_modules
fi
