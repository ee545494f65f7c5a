#!/bin/sh
# Installs what the tests need on Debian: languages, brokers, proxies and browsers from its packages, and the npm packages of
# this folder. What is there already is left alone. No server that it installs is started as a service, neither now nor at the
# next boot: tests start them by themselves, on ports of their own.
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
need apache2-bin apache2
need haproxy haproxy
need varnish varnishd
need squid squid
need lighttpd lighttpd
need h2o h2o
need trafficserver traffic_server
need hitch hitch
need stunnel4 stunnel stunnel4
need redis-server redis-server
need nats-server nats-server
need mariadb-server mariadbd # for WordPress
need zip zip
need openssl openssl
need chromium chromium
need chromium-headless-shell chromium-headless-shell # Chromium without the windows that nobody sees
need firefox-esr firefox-esr
need webkit2gtk-driver WebKitWebDriver
need xvfb Xvfb # for WebKit
need nodejs node
need npm npm
need composer composer
need curl curl
need python3 python3
need nghttp2-client nghttp h2load
need hunspell hunspell
for extension in curl redis; do
	if ! command -v php >/dev/null 2>&1 || ! php -m | grep -qx $extension; then missing="$missing php-$extension"; fi
done
if [ ! -e /usr/share/php/Symfony/Component/Mercure/autoload.php ]; then missing="$missing php-symfony-mercure"; fi
if [ ! -e /usr/share/wordpress/wp-load.php ]; then missing="$missing wordpress php-mysql"; fi
if [ ! -e /usr/share/php/Illuminate/Foundation/Application.php ]; then missing="$missing php-laravel-framework"; fi
if [ ! -e /usr/share/hunspell/en_GB.dic ]; then missing="$missing hunspell-en-gb"; fi
if [ ! -e /usr/share/php/Symfony/Bundle/FrameworkBundle/autoload.php ]; then missing="$missing php-symfony-framework-bundle"; fi
if [ ! -e /usr/share/php/Symfony/Component/Dotenv/autoload.php ]; then missing="$missing php-symfony-dotenv"; fi
for module in httpx aiohttp; do
	if ! /usr/bin/python3 -c "import $module" 2>/dev/null; then missing="$missing python3-$module"; fi
done
for module in openssl deflate; do
	if [ ! -e /usr/lib/lighttpd/mod_$module.so ]; then missing="$missing lighttpd-mod-$module"; fi
done
if [ -n "$missing" ]; then
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get update
	enabled() { # the services that start at boot, if systemd runs
		if [ -d /run/systemd/system ]; then systemctl list-unit-files --type=service --state=enabled --no-legend | cut -d' ' -f1 | sort; fi
	}
	before=$(mktemp)
	enabled >"$before"
	policy=/usr/sbin/policy-rc.d # asked by packages before they start a service
	if [ ! -e $policy ]; then own=$policy; else own=; fi
	trap '$sudo rm -f $own "$before"' EXIT
	trap 'exit 1' HUP INT TERM
	if [ -n "$own" ]; then
		printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
		$sudo chmod +x $policy
	fi
	# shellcheck disable=SC2086 # a list of packages
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y --no-install-recommends $missing
	enabled | comm -13 "$before" - | xargs -r $sudo systemctl disable
fi
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules ]; then
	npm ci --no-audit --no-fund
	touch node_modules
fi
