#!/bin/sh
# One would guess: a Node script that only listens with EventSource runs on: as in a browser, the stream comes back after it ends.
# What happens: (Node 24.21.0; eventsource 5.1.5, undici 8.13.1) the timer of the reconnect does not keep the process alive. At the
#   first end of the stream the process ends, with status 0 and without a word, and a supervisor that restarts on failure leaves it so.
#   eventsource 4.1.1 comes back.
# Seen (2026-11-29):
#   eventsource 4.1.1: came back
#   eventsource 5.1.5: ended with status 0
#   undici 8.13.1: ended with status 0
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
case $(uname -m) in
aarch64) arch=arm64 ;;
*) arch=x64 ;;
esac
npm install --no-audit --no-fund --loglevel=error "node-linux-$arch@24.21.0" four@npm:eventsource@4.1.1 five@npm:eventsource@5.1.5 undici@8.13.1 >install 2>&1 || {
	tail -n 3 install
	echo "cannot install"
	exit 2
}
cat >client.mjs <<'E2'
const { EventSource } = await import(process.argv[2]);
let connects = 0;
new EventSource(process.argv[3]).onmessage = () => { if (++connects === 2) process.exit(9); };
E2
cat >run.mjs <<'E2'
// A server whose streams end after an event, and the clients, one after the other.
import { createServer } from 'node:http';
import { spawn } from 'node:child_process';
const server = createServer((request, response) => {
	response.writeHead(200, { 'Content-Type': 'text/event-stream' });
	response.end('retry: 500\ndata: hello\n\n');
}).listen(0, '127.0.0.1', async () => {
	for (const [name, title] of [['four', 'eventsource 4.1.1'], ['five', 'eventsource 5.1.5'], ['undici', 'undici 8.13.1']]) {
		const client = spawn(process.execPath, ['--no-warnings', 'client.mjs', name, `http://127.0.0.1:${server.address().port}/`]);
		const status = await new Promise((resolve) => client.on('exit', resolve));
		console.log(`${title}: ${status === 9 ? 'came back' : `ended with status ${status}`}`);
	}
	process.exit();
});
E2
seen=$("node_modules/node-linux-$arch/bin/node" run.mjs)
echo "$seen"
[ "$seen" = "eventsource 4.1.1: came back
eventsource 5.1.5: ended with status 0
undici 8.13.1: ended with status 0" ]
