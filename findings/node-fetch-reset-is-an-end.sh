#!/bin/sh
# One would guess: in Node, fetch fails with an error if the connection is reset before the last chunk of a chunked response.
# What happens: (Node 20.20.2) it does, but not if the response says Connection: close. The reset then counts as the end of the body.
#   A client on top of fetch, such as fetch-event-source 2.0.1, takes it for an end of the stream that the server meant.
# Seen (2026-11-28): with Connection: close, the reader sees: end; without: error
set -eu
command -v node >/dev/null || { echo "node is not installed"; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/reset.mjs" <<'EOF'
import net from 'node:net';

const outcome = (header) => new Promise((resolve) => {
	const server = net.createServer((socket) => socket.once('data', () => {
		socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n${header}\r\n9\r\ndata: 1\n\n\r\n`);
		setTimeout(() => socket.resetAndDestroy(), 300);
	})).listen(0, '127.0.0.1', async () => {
		try {
			const { body } = await fetch(`http://127.0.0.1:${server.address().port}/`);
			for await (const _ of body);
			resolve('end');
		} catch {
			resolve('error');
		}
		server.close();
	});
});
const close = await outcome('Connection: close\r\n'), kept = await outcome('');
console.log(`Node ${process.version}: with Connection: close, the reader sees: ${close}; without: ${kept}`);
process.exit(close === 'end' && kept === 'error' ? 0 : 1);
EOF
node "$dir/reset.mjs"
