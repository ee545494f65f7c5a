<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// Tests of the client: `php clients/php/tests/run.php`. They need ext-curl, ext-pcntl and a port on the loopback.

require __DIR__ . '/../SsePush.php';

foreach (['curl', 'pcntl'] as $extension) {
    if (!extension_loaded($extension)) {
        fwrite(STDERR, "ext-$extension is missing\n");
        exit(2);
    }
}

// Any warning, notice or deprecation is a failure, one behind an @ too.
$raised = [];
set_error_handler(static function (int $level, string $message) use (&$raised): bool {
    $raised[] = $message;
    return true;
});
error_reporting(E_ALL);
foreach (['SSE_PUSH_URL', 'SSE_PUSH_TOKEN', 'SSE_PUSH_TICKET_SECRET', 'SSE_PUSH_RELAY_SECRET'] as $variable) {
    unset($_SERVER[$variable], $_ENV[$variable]);
    putenv($variable);
}

$socket = sys_get_temp_dir() . '/sse-push-' . getmypid() . '.sock';
$endpoint = proc_open([PHP_BINARY, __DIR__ . '/endpoint.php', $socket], [['pipe', 'r'], ['pipe', 'w'], STDERR], $pipes);
$port = trim((string) fgets($pipes[1]));
$base = "http://127.0.0.1:$port";

$passed = $failed = 0;

function test(string $name, callable $do): void
{
    global $passed, $failed, $raised, $base;
    $raised = [];
    SsePush::configure(url: "$base/ok", token: '', timeout: 2, connectTimeout: 0.3, retries: 1, strict: false, onError: static fn () => null);
    try {
        file_get_contents("$base/log", false, stream_context_create(['http' => ['method' => 'DELETE']]));
        $do();
        same([], $raised, 'warnings');
        $passed++;
    } catch (Throwable $e) {
        $failed++;
        echo "FAIL $name: {$e->getMessage()} (line {$e->getLine()})\n";
    }
}

function same(mixed $want, mixed $got, string $what): void
{
    if ($want !== $got) {
        throw new LogicException("$what: want " . json_encode($want) . ', got ' . json_encode($got, JSON_PARTIAL_OUTPUT_ON_ERROR));
    }
}

/** The requests that came. */
function came(): array
{
    global $base;
    return json_decode((string) file_get_contents("$base/log"), true);
}

/** What a request published, but for the random key. */
function body(array $request): array
{
    return array_diff_key(json_decode($request['body'], true), ['idempotency_key' => 0]);
}

/** @return array{mixed, float} What came out, and after how many seconds. */
function timed(callable $do): array
{
    $start = hrtime(true);
    return [$do(), (hrtime(true) - $start) / 1e9];
}

function at(string $mode): void
{
    global $base;
    SsePush::configure(url: "$base/$mode");
}

foreach (['curl', 'streams'] as $transport) {
    SsePush::configure(transport: $transport);

    test("$transport: an event arrives as it was made", function () {
        $r = SsePush::user('u1')->topic('orders/42')->id('o7')->retry(3000)->ttl(60)->coalesce('o')
            ->exclude('c9', null)->send('order', ['id' => 7, 'sum' => 1.0, 'text' => "é/\u{2028}"]);
        same([true, 'p1', 200, null, null], [$r->ok, $r->id, $r->status, $r->error, $r->detail], 'result');
        [$one] = came();
        same('POST /ok/publish', "{$one['method']} {$one['target']}", 'request line');
        same('application/json', $one['headers']['content-type'], 'content type');
        same([
            'users' => ['u1'], 'topics' => ['orders/42'], 'id' => 'o7', 'retry' => 3000, 'ttl' => 60, 'coalesce' => 'o',
            'exclude' => ['c9'], 'event' => 'order', 'data' => '{"id":7,"sum":1.0,"text":"é/\u2028"}',
        ], body($one), 'body');
        same(32, strlen(json_decode($one['body'], true)['idempotency_key']), 'length of the random key');
    });

    test("$transport: every kind of target and of data", function () {
        $stringable = new class {
            public function __toString(): string
            {
                return 'text';
            }
        };
        SsePush::users(['a', 7])->send('x', "two\nlines");
        SsePush::topics(new ArrayIterator(['t/1', 't/2']))->send('x', null);
        SsePush::connection('c1')->connection('c2')->send('x', $stringable);
        SsePush::broadcast()->send('x');
        same([
            ['users' => ['a', '7'], 'event' => 'x', 'data' => "two\nlines"],
            ['topics' => ['t/1', 't/2'], 'event' => 'x', 'data' => 'null'],
            ['connections' => ['c1', 'c2'], 'event' => 'x', 'data' => 'text'],
            ['broadcast' => true, 'event' => 'x', 'data' => ''],
        ], array_map(body(...), came()), 'bodies');
    });

    test("$transport: a builder serves many times", function () {
        $room = SsePush::topic('room');
        $room->ttl(5)->user('u1')->send('x');
        $room->send('y');
        same(['topics' => ['room'], 'event' => 'y', 'data' => ''], body(came()[1]), 'second body');
    });

    test("$transport: an endpoint that never answers costs the timeout and no more", function () {
        at('hang');
        SsePush::configure(timeout: 0.4);
        foreach ([0, 1, 3] as $retries) {
            SsePush::configure(retries: $retries);
            [$r, $seconds] = timed(fn () => SsePush::user('u1')->send('x'));
            same([false, null, 0, 'unanswered'], [$r->ok, $r->id, $r->status, $r->error], 'result');
            same(true, $seconds < 0.6, "seconds ($seconds)");
        }
        same(1 + 2, count(array_slice(came(), 0, 3)), 'tries of the first two');
    });

    test("$transport: nor does one that drips", function () {
        at('drip');
        SsePush::configure(timeout: 0.4);
        [$r, $seconds] = timed(fn () => SsePush::user('u1')->send('x'));
        same('unanswered', $r->error, 'error');
        same(true, $seconds < 0.6, "seconds ($seconds)");
    });

    test("$transport: nor one that does not accept", function () {
        $full = stream_socket_server('tcp://127.0.0.1:0', $errno, $error, context: stream_context_create(['socket' => ['backlog' => 0]]));
        $name = stream_socket_get_name($full, false);
        $queued = stream_socket_client("tcp://$name");
        SsePush::configure(url: "http://$name", timeout: 1, connectTimeout: 0.1);
        [$r, $seconds] = timed(fn () => SsePush::user('u1')->send('x'));
        same([false, 0, 'unreachable'], [$r->ok, $r->status, $r->error], 'result');
        same(true, $seconds > 0.2 && $seconds < 0.6, "seconds ($seconds)");
        fclose($queued);
    });

    test("$transport: nobody there", function () {
        $free = stream_socket_server('tcp://127.0.0.1:0');
        $name = stream_socket_get_name($free, false);
        fclose($free);
        SsePush::configure(url: "http://$name/_sse");
        [$r, $seconds] = timed(fn () => SsePush::user('u1')->send('x'));
        same([false, 'unreachable'], [$r->ok, $r->error], 'result');
        same(true, str_contains($r->detail, "http://$name/_sse"), 'the detail names the url');
        same(true, $seconds < 0.5, "seconds ($seconds)");
    });

    foreach (['busy-once', 'hangup-once', 'hang-once'] as $mode) {
        test("$transport: after $mode the same request comes again", function () use ($mode) {
            at($mode);
            SsePush::configure(timeout: 1);
            same(true, SsePush::user('u1')->send('x', 1)->ok, 'ok');
            [$a, $b] = came();
            same($a['body'], $b['body'], 'body');
            SsePush::user('u1')->send('x', 1);
            same(4, count(came()), 'requests, as the next event has another key');
        });
    }

    test("$transport: an own key goes with each try", function () {
        at('busy-once');
        $key = "order 7\r\né";
        same(true, SsePush::user('u1')->idempotencyKey($key)->send('x')->ok, 'ok');
        same([$key, $key], array_map(static fn (array $r) => json_decode($r['body'], true)['idempotency_key'], came()), 'keys');
    });

    test("$transport: what is not worth a retry is not retried", function () {
        foreach (['bad' => 400, 'hidden' => 404, 'redirect' => 302, 'later' => 503] as $mode => $status) {
            at($mode);
            $before = count(came());
            [$r, $seconds] = timed(fn () => SsePush::user('u1')->send('x'));
            same([false, $status, 'refused'], [$r->ok, $r->status, $r->error], $mode);
            same(1, count(came()) - $before, "requests to $mode");
            same(true, $seconds < 0.5, "seconds ($seconds)");
        }
        at('busy');
        SsePush::configure(retries: 2);
        $before = count(came());
        same(503, SsePush::user('u1')->send('x')->status, 'status');
        same(3, count(came()) - $before, 'requests with two retries');
    });

    test("$transport: answers that say what is wrong", function () {
        at('bad');
        $r = SsePush::topic('x')->send('x');
        same(['no such thing', 'topics', 'sse push: refused 400: no such thing'], [$r->detail, $r->field, (string) $r], 'bad');
        at('redirect');
        same(true, str_contains(SsePush::topic('x')->send('x')->detail, 'redirected to /ok/publish'), 'redirect');
        foreach (['html', 'empty', 'second-bad'] as $mode) {
            at($mode);
            $r = SsePush::topic('x')->send('x');
            same([false, 200, 'unexpected'], [$r->ok, $r->status, $r->error], $mode);
            same($mode === 'empty', str_contains($r->detail, 'empty 200'), "a hint at an empty answer after $mode");
        }
        SsePush::configure(retries: 0);
        at('cut');
        same('unanswered', SsePush::topic('x')->send('x')->error, 'cut');
        at('flood');
        same('unanswered', SsePush::topic('x')->send('x')->error, 'flood');
    });

    test("$transport: token", function () {
        at('token');
        same([401, 'refused'], [($r = SsePush::topic('x')->send('x'))->status, $r->error], 'without');
        SsePush::configure(token: "s3cret\n");
        same(true, SsePush::topic('x')->send('x')->ok, 'with');
        SsePush::configure(token: "s3cret\r\nX: y");
        $r = SsePush::topic('x')->send('x');
        same(['invalid', 'token', false], [$r->error, $r->field, str_contains((string) $r, 's3cret')], 'a token of two lines');
    });

    test("$transport: a batch is one request", function () {
        $results = SsePush::batch([
            SsePush::user('u1')->event('x', 1),
            SsePush::user(null)->event('x', 2),
            SsePush::user('u3')->event('x', 3),
            SsePush::user('u4'),
            'nonsense',
        ]);
        same([true, false, true, false, false], array_column(array_map(get_object_vars(...), $results), 'ok'), 'ok');
        same(['p1', null, 'p2', null, null], array_map(static fn ($r) => $r->id, $results), 'ids');
        same([null, 'user', null, 'event', 'events'], array_map(static fn ($r) => $r->field, $results), 'fields');
        same(1, count(came()), 'requests');
        $sent = json_decode(came()[0]['body'], true);
        same([['1', '3'], 2], [array_column($sent, 'data'), count(array_unique(array_column($sent, 'idempotency_key')))], 'data and keys');
        same([], SsePush::batch([]), 'an empty batch');

        at('second-bad');
        $results = SsePush::batch(array_fill(0, 3, SsePush::user('u1')->event('x')));
        same(['p1', null, 'p3'], array_map(static fn ($r) => $r->id, $results), 'ids with a bad item');
        same([400, 'refused', 'topics'], [$results[1]->status, $results[1]->error, $results[1]->field], 'the bad item');

        at('hidden');
        same([404, 404], array_map(static fn ($r) => $r->status, SsePush::batch(array_fill(0, 2, SsePush::user('u1')->event('x')))), 'all refused');
    });

    test("$transport: questions", function () {
        same(['42', 'a/b'], SsePush::presence(), 'presence');
        same([true, false], [SsePush::isOnline('a/b'), SsePush::isOnline(42)], 'isOnline');
        same('p9', SsePush::position(), 'position');
        same('c1', SsePush::connections(user: 'a b&c', limit: 5)[0]['id'], 'connections');
        same('/ok/connections?user=a%20b%26c&limit=5', came()[4]['target'], 'query');
        same([true, 204], [($r = SsePush::disconnect('..'))->ok, $r->status], 'disconnect');
        same('DELETE /ok/connections/%2E%2E', came()[5]['method'] . ' ' . came()[5]['target'], 'request');
        same([true, true], [SsePush::disconnectUser('a/b')->ok, SsePush::disconnectUser(42, deny: 60)->ok], 'disconnectUser');
        same([true, true], [SsePush::addTopics('c1', ['rooms/1', 7])->ok, SsePush::removeTopic('c1', 'rooms/1')->ok], 'topics of a connection');
        same([
            'DELETE /ok/users/a%2Fb', 'DELETE /ok/users/42?deny=60s', 'POST /ok/connections/c1/topics', 'DELETE /ok/connections/c1/topics/rooms%2F1',
        ], array_map(static fn ($c) => $c['method'] . ' ' . $c['target'], array_slice(came(), 6)), 'requests');

        foreach (['hidden', 'html', 'empty'] as $mode) {
            at($mode);
            same([null, null, null, null], [SsePush::presence(), SsePush::isOnline('u'), SsePush::position(), SsePush::connections()], $mode);
        }
        same([404, 'refused'], [($r = (at('hidden') ?? SsePush::disconnect('c1')))->status, $r->error], 'disconnect nobody');
        $before = count(came());
        same([null, null, null], [SsePush::isOnline(null), SsePush::connections(user: null), SsePush::connections(topic: '')], 'about nobody');
        same('invalid', SsePush::disconnect('')->error, 'disconnect an empty id');
        same(['connection', 'topics', 'topics', 'topic'], array_map(static fn ($r) => $r->field, [
            SsePush::addTopics(null, 'a'), SsePush::addTopics('c1', ['a', '']), SsePush::addTopics('c1', null), SsePush::removeTopic('c1', []),
        ]), 'topics that are none');
        same(['user', 'deny'], [SsePush::disconnectUser(null)->field, SsePush::disconnectUser('u', deny: -1)->field], 'disconnect nobody, or for less than no time');
        same($before, count(came()), 'requests about nobody');
    });

    test("$transport: a unix socket", function () {
        global $socket;
        SsePush::configure(url: "unix://$socket:/ok");
        same('p1', SsePush::topic('x')->send('x')->id, 'id');
        SsePush::configure(url: "unix://$socket");
        SsePush::topic('x')->send('x');
        same(['/ok/publish', '/_sse/publish'], array_column(came(), 'target'), 'targets');
        SsePush::configure(url: "unix://$socket.none:/ok");
        same('unreachable', SsePush::topic('x')->send('x')->error, 'no such socket');
    });

    test("$transport: what has become of it", function () {
        $r = SsePush::user('u1')->user('gone')->user(7)->wait('written', 1.5)->send('x');
        same([true, 1, 'node'], [$r->ok, $r->delivery['matched'], $r->delivery['scope']], 'delivery');
        same([false, true, true, false, false], array_map($r->isOffline(...), ['u1', 'gone', 7, 'other', null]), 'offline');
        same(['written', '1500ms'], [body(came()[0])['wait'], body(came()[0])['timeout']], 'asked');
        $r = SsePush::user('gone')->send('x');
        same([null, false], [$r->delivery, $r->isOffline('gone')], 'not asked');
        $results = SsePush::batch([SsePush::user('u1')->event('x'), SsePush::user('gone')->wait('matched')->event('x')]);
        same([null, 1], array_map(static fn ($r) => $r->delivery['matched'] ?? null, $results), 'batch');
        foreach (['wait' => ['soon'], 'timeout' => ['written', 11], 'timeout ' => ['written', NAN], 'timeout  ' => ['matched', '1']] as $field => $args) {
            same(['invalid', rtrim($field)], [($r = SsePush::user('u1')->wait(...$args)->send('x'))->error, $r->field], "error of $field");
        }
    });

    test("$transport: a wait comes on top of the timeout", function () {
        at('slow');
        SsePush::configure(timeout: 0.6);
        same('unanswered', SsePush::user('u1')->send('x')->error, 'without');
        $before = count(came());
        same(true, SsePush::user('u1')->wait('written', 2)->send('x')->ok, 'with');
        same(1, count(came()) - $before, 'tries');
    });

    test("$transport: a megabyte", function () {
        $data = str_repeat('é', 1 << 20);
        same(true, SsePush::topic('x')->send('x', $data)->ok, 'ok');
        same($data, json_decode(came()[0]['body'], true)['data'], 'data');
    });
}

SsePush::configure(transport: 'auto');

test('the connection is kept, and not shared with a fork', function () {
    SsePush::topic('x')->send('x');
    SsePush::presence();
    SsePush::topic('x')->send('x');
    $pid = pcntl_fork();
    if ($pid === 0) {
        $ok = SsePush::topic('x')->send('child')->ok;
        posix_kill(getmypid(), $ok ? SIGKILL : SIGTERM); // So that this copy of the test does nothing more.
    }
    pcntl_waitpid($pid, $status);
    same(SIGKILL, pcntl_wtermsig($status), 'the signal of a child that could send');
    SsePush::topic('x')->send('x');
    $connections = array_column(came(), 'connection');
    same([true, true, false, true], array_map(static fn ($c) => $c === $connections[0], array_slice($connections, 1)), 'same connection as the first');
});

test('a target that is nobody is refused here', function () {
    $broken = new class {
        public function __toString(): string
        {
            throw new DomainException('no name');
        }
    };
    foreach ([null, '', false, true, 1.5, [], ['u1'], new stdClass(), "\xff", $broken] as $nobody) {
        foreach (['user', 'topic', 'connection'] as $kind) {
            foreach ([SsePush::$kind($nobody), SsePush::broadcast()->$kind($nobody), SsePush::user('u1')->$kind($nobody)->topic('t')] as $event) {
                $r = $event->send('x', 'secret');
                same([false, 'invalid', $kind], [$r->ok, $r->error, $r->field], "$kind " . get_debug_type($nobody));
            }
        }
        foreach (['users', 'topics'] as $kind) {
            $many = is_array($nobody) ? [] : ['a', $nobody];
            same(['invalid', $kind], [($r = SsePush::$kind($many)->send('x'))->error, $r->field], "$kind with " . get_debug_type($nobody));
            same('invalid', SsePush::$kind(is_array($nobody) ? null : $nobody)->send('x')->error, "$kind of " . get_debug_type($nobody));
        }
    }
    $r = (new SsePushEvent())->send('x');
    same(['invalid', 'user', 'user: a target is missing'], [$r->error, $r->field, $r->detail], 'no target at all');
    same([], came(), 'requests');
});

test('what cannot be encoded or is of the wrong kind is an error of its field', function () {
    $loop = [];
    $loop['self'] = &$loop;
    $thrower = new class implements JsonSerializable {
        public function jsonSerialize(): mixed
        {
            throw new DomainException('not today');
        }
    };
    foreach (["\xff", ['a' => "\xff"], NAN, $loop, $thrower, STDIN] as $data) {
        $r = SsePush::user('u1')->send('x', $data);
        same(['invalid', 'data'], [$r->error, $r->field], 'data ' . get_debug_type($data));
    }
    $u1 = SsePush::user('u1');
    foreach (['event' => $u1->event(null), 'id' => $u1->id("\xff"), 'retry' => $u1->retry('soon'), 'ttl' => $u1->ttl(1.5),
        'coalesce' => $u1->coalesce(''), 'idempotency_key' => $u1->idempotencyKey([]), 'exclude' => $u1->exclude(['c1'])] as $field => $event) {
        same(['invalid', $field], [($r = $event->send('x'))->error, $r->field], $field);
    }
    same(true, $u1->exclude(null, '')->send('x')->ok, 'exclude nobody');
    same(1, count(came()), 'requests');
});

test('strict throws, after the whole batch', function () {
    SsePush::configure(strict: true);
    $thrown = static function (callable $do): SsePushException {
        try {
            $do();
        } catch (SsePushException $e) {
            return $e;
        }
        throw new LogicException('nothing was thrown');
    };
    same(null, $thrown(fn () => SsePush::user(null)->send('x'))->result->id, 'local');
    same('user', $thrown(fn () => SsePush::isOnline(null))->result->field, 'question');
    $e = $thrown(fn () => SsePush::batch([SsePush::user(null)->event('x'), SsePush::user('u1')->event('x')]));
    same([false, true], [$e->results[0]->ok, $e->results[1]->ok], 'batch');
    at('hidden');
    same([404, true], [($e = $thrown(fn () => SsePush::presence()))->getCode(), str_contains($e->getMessage(), 'refused 404')], 'presence');
    same(404, $thrown(fn () => SsePush::disconnect('c'))->result->status, 'disconnect');
});

test('onError hears of each failure once, and cannot break anything', function () {
    $heard = [];
    SsePush::configure(onError: static function (SsePushResult $r) use (&$heard) {
        $heard[] = $r->error;
        SsePush::user(null)->send('x');
        throw new LogicException('in a logger');
    });
    SsePush::user('u1')->send('x');
    SsePush::user('')->send('x');
    at('hidden');
    SsePush::batch([SsePush::user('a')->event('x'), SsePush::user('b')->event('x')]);
    same(['invalid', 'refused'], $heard, 'heard');
});

test('misconfigured', function () {
    global $base;
    $urls = ['' => 'is not set', 'nonsense' => 'must be', 'ftp://h/x' => 'must be', 'http:///x' => 'must be', "http://h/\r\nX:y" => 'control',
        'http://me@h/_sse' => 'user', 'http://h/_sse?a=b' => 'query', 'unix://relative.sock' => 'must'];
    foreach ($urls as $url => $says) {
        SsePush::configure(url: (string) $url);
        $r = SsePush::user('u1')->send('x');
        same(['invalid', 'url'], [$r->error, $r->field], $url);
        same(true, str_contains($r->detail, $says), "$url: $r->detail");
    }
    SsePush::configure(url: "$base/ok/", timeout: NAN, connectTimeout: -1, retries: -5);
    same('p1', SsePush::user('u1')->send('x')->id, 'a slash at the end, and numbers out of range');
    SsePush::configure(transport: 'pigeon');
    same(['invalid', 'transport'], [($r = SsePush::user('u1')->send('x'))->error, $r->field], 'transport');
    SsePush::configure(transport: 'auto');
});

test('the environment', function () {
    global $base;
    $code = 'require $argv[1]; echo json_encode(SsePush::user("u1")->send("x"));';
    $run = static function (array $env) use ($code): array {
        $p = proc_open([PHP_BINARY, '-d', 'variables_order=GPCS', '-r', $code, dirname(__DIR__) . '/SsePush.php'], [1 => ['pipe', 'w']], $pipes, null, $env);
        $out = stream_get_contents($pipes[1]);
        proc_close($p);
        return json_decode($out, true);
    };
    same(true, $run(['SSE_PUSH_URL' => "$base/token", 'SSE_PUSH_TOKEN' => 's3cret'])['ok'], 'url and token');
    same('url', $run([])['field'], 'nothing set');
});

test('escape', function () {
    foreach (['ann' => 'ann', 'a/b' => 'a%2Fb', '*' => '%2A', '50%' => '50%25', "a\x00\n\x7f" => 'a%00%0A%7F', "\u{85}é" => '%C2%85é', 'a b' => 'a b'] as $name => $want) {
        same($want, SsePush::escape($name), $want);
    }
    same(['7', '', '', ''], [SsePush::escape(7), SsePush::escape(null), SsePush::escape("\xff"), SsePush::escape([])], 'not a name');
});

test('tickets', function () {
    $errors = [];
    $secret = 'a-secret-of-thirty-two-bytes-or-more';
    SsePush::configure(ticketSecret: "$secret\n", onError: function ($r) use (&$errors) { $errors[] = "$r->field: $r->detail"; });
    $read = static function (string $ticket) use ($secret): array {
        same(1, preg_match('/^(sse1\.([\w-]+))\.([0-9a-f]{64})$/D', $ticket, $part), "the form of $ticket");
        same(hash_hmac('sha256', $part[1], $secret), $part[3], 'signature');
        return json_decode(base64_decode(strtr($part[2], '-_', '+/')), true);
    };
    $start = time();
    $plain = $read(SsePush::ticket(7));
    same(['user', 'exp'], array_keys($plain), 'fields');
    same('7', $plain['user'], 'user');
    same(true, $plain['exp'] - $start >= 3600 && $plain['exp'] - $start <= 3602, 'an hour');
    $all = $read(SsePush::ticket('é/?>~', topics: new ArrayIterator(['a/b', 'c/*']), seconds: 60, once: true));
    same(['é/?>~', ['a/b', 'c/*'], 16], [$all['user'], $all['topics'], strlen($all['once'])], 'all fields');
    same(true, $all['exp'] - $start <= 62, 'a minute');
    same(true, SsePush::ticket('a', once: true) !== SsePush::ticket('a', once: true), 'each for one use');
    same([], $errors, 'errors');

    foreach ([
        'user' => [null], 'user ' => [''], 'user  ' => ["\xff"], 'topics' => ['a', 'b'], 'topics ' => ['a', [null]],
        'topics  ' => ['a', (static function () { yield 'x'; throw new LogicException('no'); })()], 'seconds' => ['a', [], 0], 'seconds ' => ['a', [], '60'],
    ] as $field => $args) {
        $errors = [];
        same(null, SsePush::ticket(...$args), $field);
        same([rtrim($field)], array_map(static fn ($e) => explode(':', $e)[0], $errors), "error of $field");
    }
    $errors = [];
    SsePush::configure(ticketSecret: 'too-short');
    same(null, SsePush::ticket('a'), 'a short secret');
    same(true, count($errors) === 1 && !str_contains($errors[0], 'too-short'), 'the secret is not told');
    SsePush::configure(ticketSecret: '');
});

test('relays', function () {
    $start = SsePush::relay(['url' => 'https://api.example.com/v1', 'headers' => [], 'body' => ['stream' => true, 'temperature' => 1.0]])
        ->toUser(7)->id('chat-1')->event('token')->as('lines')->retry(2)->done('http://app.internal/done');
    same('p1', $start->start()->id, 'id');
    [$request] = came();
    same(['POST', '/ok/relays'], [$request['method'], $request['target']], 'request');
    same('{"id":"chat-1","request":{"url":"https://api.example.com/v1","body":{"stream":true,"temperature":1.0}},"user":"7","event":"token","as":"lines","retry":2,"done":"http://app.internal/done"}', $request['body'], 'body');
    at('busy-once');
    SsePush::relay(['url' => 'https://api.example.com'])->toTopic('room')->start();
    [, $first, $again] = came();
    same($first['body'], $again['body'], 'a retry is the same relay');
    same(1, preg_match('/^[0-9a-f]{32}$/D', json_decode($first['body'], true)['id']), 'an id of its own');
    at('ok');
    foreach (['user' => SsePush::relay(['url' => 'x']), 'request' => SsePush::relay('x')->toUser(1), 'user ' => SsePush::relay([])->toUser(''), 'done' => SsePush::relay([])->toUser(1)->done(null)] as $field => $relay) {
        same([false, rtrim($field)], [$relay->start()->ok, $relay->start()->field], "error of $field");
    }
    $r = SsePush::stopRelay('a/b');
    [$stop] = array_slice(came(), -1);
    same(['DELETE', '/ok/relays/a%2Fb'], [$stop['method'], $stop['target']], 'stop');
});

test('the end of a relay is the proxy\'s', function () {
    $secret = 'a-secret-of-thirty-two-bytes-or-more';
    SsePush::configure(relaySecret: "$secret\n");
    $body = '{"id":"chat-1","status":"complete","events":[{"data":"a"}]}';
    $sign = static fn (int $t, string $text): string => "t=$t,v1=" . hash_hmac('sha256', "$t.$text", $secret);
    same('complete', SsePush::relayDone($body, $sign(time(), $body))['status'] ?? null, 'a call');
    foreach ([
        'another body' => $sign(time(), "$body "), 'old' => $sign(time() - 301, $body), 'to come' => $sign(time() + 301, $body), 'none' => '',
        'without a time' => 'v1=' . hash_hmac('sha256', $body, $secret), 'an empty sum' => 't=' . time() . ',v1=',
    ] as $what => $signature) {
        same(null, SsePush::relayDone($body, $signature), $what);
    }
    same(null, SsePush::relayDone('no', $sign(time(), 'no')), 'no JSON');
    $_SERVER['HTTP_X_SSE_SIGNATURE'] = $sign(time(), '');
    same(null, SsePush::relayDone(), 'an empty body');
    unset($_SERVER['HTTP_X_SSE_SIGNATURE']);
    SsePush::configure(relaySecret: '');
    same(null, SsePush::relayDone($body, 't=' . time() . ',v1=' . hash_hmac('sha256', time() . ".$body", '')), 'without a secret');
});

test('the reference says what the comments say', function (): void {
    require_once __DIR__ . '/reference.php';
    same(reference(), (string) file_get_contents(REFERENCE), 'docs/reference/php.md (php clients/php/tests/reference.php writes it)');
});

fclose($pipes[0]);
proc_close($endpoint);
unlink($socket);
echo "$passed passed, $failed failed\n";
exit($failed === 0 ? 0 : 1);
