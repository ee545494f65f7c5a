#!/bin/sh
# Builds what `make run` starts, and shows how far it is: on a new machine Go compiles all of Caddy, which takes minutes.
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
command -v "$go" >/dev/null || { echo "This needs Go 1.26 or newer: https://go.dev/dl/" >&2 && exit 1; }

# progress <packages> reads what `go build -v` prints, a line for each package that it begins to compile, and shows it as a count. All
# other lines, such as errors, are printed as they are.
progress() {
	n=0
	[ "$1" -gt 1 ] || show "Linking ..."
	while IFS= read -r line; do
		case $line in
		*[!A-Za-z0-9./_~-]*) printf '%s%s\n' "$clear" "$line" && continue ;;
		esac
		n=$((n + 1))
		if [ $n -ge "$1" ]; then
			show "Linking ..."
		elif [ -n "$clear" ] || [ $((n % 100)) = 0 ]; then
			show "Compiling: package $n of $1"
		fi
	done
	printf '%s' "$clear"
}

# show replaces the line, on a terminal.
show() {
	if [ -n "$clear" ]; then printf '%s%s' "$clear" "$1"; else echo "$1"; fi
}

clear=
[ ! -t 1 ] || clear=$(printf '\r\033[K')
echo "Building Caddy with the module. The first time this takes some two minutes on two cores, later a few seconds."
# A program counts as stale even if it has only to be linked.
packages=$($go list -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' ./cmd/caddy | grep -c . || true)
failed=$(mktemp)
trap 'rm -f "$failed"' EXIT
trap 'exit 130' INT TERM
{
	$go build -v -o caddy ./cmd/caddy || echo caddy >>"$failed"
	cd test
	$go build -o ../modelapi ./cmd/modelapi || echo modelapi >>"$failed"
} 2>&1 | progress "$packages"
[ ! -s "$failed" ]
