#!/bin/sh
# Makes sse-push.zip, which WordPress installs: the plugin's folder, with the PHP client in it.
set -eu
cd "$(dirname "$0")"
out=$(pwd)/sse-push.zip
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp -R sse-push "$dir/"
cp ../php/SsePush.php ../../LICENSE "$dir/sse-push/"
rm -f "$out"
(cd "$dir" && zip -qr "$out" sse-push)
echo "$out"
