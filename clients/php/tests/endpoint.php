<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// A fake internal route for run.php: it listens on a free port and on the socket named by its argument, prints the
// port, and behaves as the first segment of the path says. GET /log tells what came, DELETE /log forgets it.

$tcp = stream_socket_server('tcp://127.0.0.1:0');
$unix = stream_socket_server('unix://' . $argv[1]);
fwrite(STDOUT, explode(':', stream_socket_get_name($tcp, false))[1] . "\n");

$clients = [];
$log = [];
$seen = [];
$drips = [];

while (true) {
    $reads = [STDIN, $tcp, $unix, ...array_column($clients, 'socket')];
    $none = null;
    stream_select($reads, $none, $none, 0, 20000);
    foreach ($reads as $socket) {
        if ($socket === STDIN) {
            exit; // The test is gone.
        }
        if ($socket === $tcp || $socket === $unix) {
            $accepted = stream_socket_accept($socket, 0);
            stream_set_blocking($accepted, false);
            $clients[(int) $accepted] = ['socket' => $accepted, 'in' => ''];
            continue;
        }
        $client = &$clients[(int) $socket];
        $client['in'] .= $bytes = (string) fread($socket, 65536);
        if ($bytes === '' && feof($socket)) {
            unset($clients[(int) $socket], $drips[(int) $socket]);
        } elseif (($request = take($client['in'])) !== null) {
            $answer = answer($request + ['connection' => (int) $socket], $log, $seen);
            if (is_string($answer)) {
                stream_set_blocking($socket, true);
                @fwrite($socket, $answer); // Who had enough hangs up.
                stream_set_blocking($socket, false);
            }
            if ($answer === false || $request['mode'] === 'log' || $request['mode'] === 'cut') {
                unset($clients[(int) $socket]);
                fclose($socket);
            }
            if ($request['mode'] === 'drip') {
                $drips[(int) $socket] = $socket;
            }
        }
        unset($client);
    }
    foreach ($drips as $socket) {
        @fwrite($socket, 'x');
    }
}

/** Takes one whole request off what was read. */
function take(string &$in): ?array
{
    $end = strpos($in, "\r\n\r\n");
    if ($end === false) {
        return null;
    }
    $lines = explode("\r\n", substr($in, 0, $end));
    [$method, $target, $protocol] = explode(' ', array_shift($lines));
    $headers = [];
    foreach ($lines as $line) {
        [$name, $value] = explode(':', $line, 2);
        $headers[strtolower($name)] = trim($value);
    }
    $length = (int) ($headers['content-length'] ?? 0);
    if (strlen($in) < $end + 4 + $length) {
        return null;
    }
    $body = substr($in, $end + 4, $length);
    $in = substr($in, $end + 4 + $length);
    $mode = explode('/', $target)[1];
    return compact('method', 'target', 'protocol', 'headers', 'body', 'mode');
}

/** The bytes of an answer; null to leave the client waiting, false to hang up. */
function answer(array $request, array &$log, array &$seen): string|false|null
{
    if ($request['target'] === '/log') {
        $said = json_encode($log);
        if ($request['method'] === 'DELETE') {
            $log = $seen = [];
        }
        return reply(200, $said);
    }
    $log[] = $request;
    $key = json_decode($request['body'], true)['idempotency_key'] ?? $request['target'];
    $seen[$key] = ($seen[$key] ?? 0) + 1;
    $first = $seen[$key] === 1;
    $problem = ['title' => 'Bad Request', 'status' => 400, 'detail' => 'no such thing', 'field' => 'topics'];

    return match ($request['mode']) {
        'hang' => null,
        'slow' => slowly($request),
        'hang-once' => $first ? null : published($request),
        'drip' => "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
        'hangup' => false,
        'hangup-once' => $first ? false : published($request),
        'cut' => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{\"id\":",
        'flood' => "HTTP/1.1 200 OK\r\n\r\n" . str_repeat('x', 20 << 20),
        'busy' => reply(503, ''),
        'busy-once' => $first ? reply(429, '') : published($request),
        'later' => reply(503, '', ['Retry-After: 30']),
        'html' => reply(200, '<h1>hello</h1>', ['Content-Type: text/html']),
        'empty' => reply(200, ''),
        'redirect' => reply(302, '', ['Location: /ok/publish']),
        'hidden' => reply(404, 'nothing here'),
        'bad' => reply(400, json_encode($problem), ['Content-Type: application/problem+json']),
        'second-bad' => reply(200, json_encode([['id' => 'p1'], ['error' => $problem], ['id' => 'p3']])),
        'token' => ($request['headers']['authorization'] ?? '') === 'Bearer s3cret' ? published($request) : reply(401, ''),
        default => published($request),
    };
}

function published(array $request): string
{
    $path = substr($request['target'], strlen('/' . $request['mode']));
    $body = json_decode($request['body'], true);
    return match (true) {
        $request['method'] === 'DELETE' => reply(204, ''),
        $path === '/users?limit=10000' => reply(200, '{"users":[{"user":"42","connections":1},{"user":"a/b","connections":2}],"total":2}'),
        $path === '/users/a%2Fb' => reply(200, '{"user":"a/b","connections":2}'),
        str_starts_with($path, '/users/') => reply(200, '{"user":"x","connections":0}'),
        str_starts_with($path, '/connections') => reply(200, '{"connections":[{"id":"c1","user":"u1"}],"total":1}'),
        $path === '/position' => reply(200, '{"position":"p9"}'),
        array_is_list($body ?? []) => reply(200, json_encode(array_map(static fn (int $i) => told('p' . ($i + 1), $body[$i]), array_keys($body ?? [])))),
        default => reply(200, json_encode(told('p1', $body))),
    };
}

function slowly(array $request): string
{
    usleep(1_300_000);
    return published($request);
}

/** The answer for one event. */
function told(string $id, array $event): array
{
    $users = ['u1' => ['matched' => 1], 'gone' => ['matched' => 0, 'offline' => true], '7' => ['matched' => 0, 'offline' => true]];
    return ['id' => $id] + (isset($event['wait']) ? ['delivery' => ['scope' => 'node', 'matched' => 1, 'users' => $users]] : []);
}

function reply(int $status, string $body, array $headers = []): string
{
    $length = $status === 204 ? [] : ['Content-Length: ' . strlen($body)];
    return implode("\r\n", ["HTTP/1.1 $status X", ...$length, ...$headers]) . "\r\n\r\n" . $body;
}
