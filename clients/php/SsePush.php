<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

/**
 * Publishes events to browsers through the proxy's sse_push module.
 *
 *     SsePush::configure(url: 'http://127.0.0.1:9090/_sse');           // or SSE_PUSH_URL in the environment
 *     SsePush::user('u1')->send('order', ['id' => 7]);                 // every tab of user u1
 *     SsePush::topic('orders/42')->ttl(60)->send('status', 'packed');  // every subscriber of the topic
 *
 * It does not break its caller: except for configure, its methods throw nothing and raise no warning, whatever they are
 * given. Look at the SsePushResult, give onError a logger, or switch strict on to get an SsePushException instead.
 *
 * It does not hang its caller: a call lasts at most `timeout` seconds (default 2), retries and pauses included, plus the
 * time that wait() asks for. There is one exception: without ext-curl, nothing limits a slow lookup of a host name. In
 * that case, give an IP address or a socket.
 *
 * It does not publish twice: every publish has an idempotency key, which its retries repeat.
 *
 * With ext-curl, the connection stays open between the calls of a process. Without it, each call opens a connection.
 */
final class SsePush
{
    /** The largest answer that is read, in bytes. */
    private const MAX_ANSWER = 16 << 20;

    /** Statuses after which the same request may succeed. */
    private const RETRY_STATUS = [429, 502, 503, 504];

    /** libcurl's errors for a host not resolved, not reached, or lost on the way. */
    private const RETRY_CURL = [6, 7, 16, 18, 28, 35, 52, 55, 56, 92];

    /** @var array<string, mixed> */
    private static array $config = [
        'url' => null, 'token' => null, 'timeout' => 2.0, 'connectTimeout' => 0.3, 'retries' => 1,
        'strict' => false, 'transport' => 'auto', 'onError' => null, 'ticketSecret' => null, 'relaySecret' => null,
    ];

    /** The kept curl handle, and the process that may use it: a fork must not share its parent's connection. */
    private static ?\CurlHandle $curl = null;
    private static int $curlPid = 0;

    private static bool $reporting = false;

    /** The first warning of a call: only this says why TLS failed. */
    private static string $warning = '';

    /**
     * Sets what is given and leaves the rest as it is.
     *
     * @param string|false|null $url            The internal route: `http://127.0.0.1:9090/_sse`, or a Unix socket and a
     *                                          prefix, `unix:///run/caddy/push.sock:/_sse`. Default: the environment's SSE_PUSH_URL.
     * @param string|false|null $token          The route's bearer token; empty for none. Default: the environment's SSE_PUSH_TOKEN.
     * @param int|float|null    $timeout        Seconds that a call may last in all, 0.01 to 60. Default: 2. Each try has an
     *                                          equal share of what is left.
     * @param int|float|null    $connectTimeout Seconds that a try may take to connect. Default: 0.3.
     * @param int|null          $retries        Further tries after a failure to connect, no answer in time, or a 429, 502, 503 or
     *                                          504, as long as the time lasts; 0 to 10. Default: 1.
     * @param bool|null         $strict         Whether a failure throws an SsePushException. Default: false.
     * @param string|null       $transport      `curl`, `streams`, or `auto` for curl if it is installed. Default: `auto`.
     * @param callable|null     $onError        Called with the SsePushResult of each failure, such as `fn ($r) => error_log((string) $r)`;
     *                                          what it throws is dropped. Default: none.
     * @param string|false|null $ticketSecret   What ticket() signs with: one of the secrets of `user ticket`, at least 32 bytes.
     *                                          Default: the environment's SSE_PUSH_TICKET_SECRET.
     * @param string|false|null $relaySecret    What the calls at the end of relays are signed with: the secret of `relay`.
     *                                          Default: the environment's SSE_PUSH_RELAY_SECRET.
     */
    public static function configure(
        string|false|null $url = null,
        #[\SensitiveParameter] string|false|null $token = null,
        int|float|null $timeout = null,
        int|float|null $connectTimeout = null,
        ?int $retries = null,
        ?bool $strict = null,
        ?string $transport = null,
        ?callable $onError = null,
        #[\SensitiveParameter] string|false|null $ticketSecret = null,
        #[\SensitiveParameter] string|false|null $relaySecret = null,
    ): void {
        $given = array_filter(compact('url', 'token', 'strict', 'transport', 'onError', 'ticketSecret', 'relaySecret'), static fn ($v) => $v !== null);
        foreach (compact('timeout', 'connectTimeout') as $name => $seconds) {
            if ($seconds !== null && is_finite((float) $seconds)) {
                $given[$name] = min(60.0, max(0.01, (float) $seconds));
            }
        }
        if ($retries !== null) {
            $given['retries'] = min(10, max(0, $retries));
        }
        self::$config = array_replace(self::$config, $given);
    }

    /**
     * To every connection of a user.
     *
     * @param string|int|\Stringable $user Null or empty makes the result an error, never a broadcast.
     */
    public static function user(mixed $user): SsePushEvent
    {
        return (new SsePushEvent())->user($user);
    }

    /**
     * To every connection of several users.
     *
     * @param iterable<string|int> $users An empty list is an error.
     */
    public static function users(mixed $users): SsePushEvent
    {
        return (new SsePushEvent())->users($users);
    }

    /**
     * To every connection that subscribed to a topic.
     *
     * @param string $topic Such as `orders/42`.
     */
    public static function topic(mixed $topic): SsePushEvent
    {
        return (new SsePushEvent())->topic($topic);
    }

    /**
     * To every connection that subscribed to one of several topics.
     *
     * @param iterable<string> $topics
     */
    public static function topics(mixed $topics): SsePushEvent
    {
        return (new SsePushEvent())->topics($topics);
    }

    /**
     * To one connection, which is one tab.
     *
     * @param string $connection The id that its page had with `sse:connected`.
     */
    public static function connection(mixed $connection): SsePushEvent
    {
        return (new SsePushEvent())->connection($connection);
    }

    /** To every connection of the hub. */
    public static function broadcast(): SsePushEvent
    {
        return (new SsePushEvent())->broadcast();
    }

    /**
     * Publishes many events with one request: `batch([SsePush::user('u1')->event('x', 1), …])`. An invalid event does not
     * hold up the others. Strict mode throws after the request if one failed; the exception has all the results.
     *
     * @param iterable<SsePushEvent> $events
     * @return list<SsePushResult> One for each event, in order.
     */
    public static function batch(mixed $events): array
    {
        $results = $sent = [];
        try {
            foreach (is_iterable($events) ? $events : [$events] as $event) {
                $problem = $event instanceof SsePushEvent ? $event->problem() : ['events', 'must be made by SsePush::user() and the like'];
                if ($problem === null) {
                    $sent[count($results)] = $event->fields();
                }
                $results[] = $problem === null ? null : SsePushResult::invalid(...$problem);
            }
        } catch (\Throwable $e) {
            $results[] = SsePushResult::invalid('events', $e->getMessage());
        }
        if ($sent !== []) {
            [$whole, $items] = self::call('POST', '/publish', array_values($sent));
            if ($whole->ok && (!is_array($items) || count($items) !== count($sent))) {
                $whole = self::unexpected($whole->status);
            }
            foreach (array_keys($sent) as $i => $at) {
                $item = $items[$i] ?? null;
                $results[$at] = match (true) {
                    !$whole->ok => $whole,
                    is_string($item['id'] ?? null) => self::published($item, $whole->status),
                    default => SsePushResult::problem(self::status($item['error'] ?? null), $item['error'] ?? null),
                };
            }
        }
        self::report($results);
        return $results;
    }

    /**
     * Returns the open connections; only those of a user, or of a topic's subscribers, if one is given.
     *
     * @param string|int|false $user  Default: false, all users. Null and empty are errors, as with a target.
     * @param string|false     $topic Only connections that hear it. Default: false, all.
     * @param int|false        $limit How many, 10000 at most. Default: false, the proxy's default of 1000.
     * @return list<array{id: string, user: ?string, topics: list<string>, remote: string, since: string}>|null
     *         Null: the proxy could not be asked.
     */
    public static function connections(mixed $user = false, mixed $topic = false, mixed $limit = false): ?array
    {
        $query = [];
        foreach (compact('user', 'topic', 'limit') as $name => $value) {
            if ($value === false) {
                continue;
            }
            if (is_array($value = SsePushEvent::text($value))) {
                self::report([SsePushResult::invalid($name, $value[0])]);
                return null;
            }
            $query[$name] = $value;
        }
        return self::ask('/connections' . ($query === [] ? '' : '?' . http_build_query($query, '', '&', PHP_QUERY_RFC3986)), 'connections', 'array');
    }

    /**
     * Returns the users with an open connection, at most 10,000. With the directive's `presence`, this includes users who
     * have just gone and may come back: `sse:presence` reports the changes to this list.
     *
     * @return list<string>|null Null: the proxy could not be asked, which is not "nobody".
     */
    public static function presence(): ?array
    {
        $users = self::ask('/users?limit=10000', 'users', 'array');
        return $users === null ? null : array_values(array_filter(array_column($users, 'user'), 'is_string'));
    }

    /**
     * Reports whether a user has an open connection.
     *
     * @return bool|null Null: the proxy could not be asked.
     */
    public static function isOnline(mixed $user): ?bool
    {
        if (is_array($user = SsePushEvent::text($user))) {
            self::report([SsePushResult::invalid('user', $user[0])]);
            return null;
        }
        $n = self::ask('/users/' . self::segment($user), 'connections', 'int');
        return $n === null ? null : $n > 0;
    }

    /**
     * Returns the position of the newest event. Call it before you read the state that you render into a page: if the page
     * opens `?last_event_id=<position>`, it misses nothing that happens in between.
     *
     * @return string|null Null: the proxy could not be asked.
     */
    public static function position(): ?string
    {
        return self::ask('/position', 'position', 'string');
    }

    /** Closes a connection. Its page reconnects unless your app has told it to stop. Status 404: there is no such connection. */
    public static function disconnect(mixed $connection): SsePushResult
    {
        return self::delete('connection', $connection);
    }

    /**
     * Closes all of a user's connections, on all nodes. The pages reconnect if they still may, so end the user's session
     * first. Only pages that reconnect get what is published afterwards.
     *
     * @param string|int $user
     * @param int|false  $deny Seconds for which the user is refused, 0 to 86400; the user's pages then stop. 0 ends a refusal. Default: false, no refusal.
     */
    public static function disconnectUser(mixed $user, mixed $deny = false): SsePushResult
    {
        return self::delete('user', $user, $deny);
    }

    /**
     * Lets a connection hear more topics, whichever node has it. They end with the connection, unless its page names itself (`?client=`).
     * Status 404: there is no such connection.
     *
     * @param iterable<string> $topics
     */
    public static function addTopics(mixed $connection, mixed $topics): SsePushResult
    {
        $problem = null;
        $texts = ['connection' => SsePushEvent::text($connection)];
        foreach (is_iterable($topics) ? $topics : [$topics] as $topic) {
            $texts[] = SsePushEvent::text($topic);
        }
        foreach ($texts as $field => $text) {
            $problem ??= is_array($text) ? [is_int($field) ? 'topics' : $field, $text[0]] : null;
        }
        $id = array_shift($texts);
        $result = $problem !== null
            ? SsePushResult::invalid(...$problem)
            : self::call('POST', '/connections/' . self::segment($id) . '/topics', ['topics' => $texts], keyed: false)[0];
        self::report([$result]);
        return $result;
    }

    /** Takes a topic away from a connection, and any pattern that covers the topic. */
    public static function removeTopic(mixed $connection, mixed $topic): SsePushResult
    {
        [$id, $name] = [SsePushEvent::text($connection), SsePushEvent::text($topic)];
        $result = match (true) {
            is_array($id) => SsePushResult::invalid('connection', $id[0]),
            is_array($name) => SsePushResult::invalid('topic', $name[0]),
            default => self::call('DELETE', '/connections/' . self::segment($id) . '/topics/' . self::segment($name))[0],
        };
        self::report([$result]);
        return $result;
    }

    private static function delete(string $kind, mixed $name, mixed $deny = false): SsePushResult
    {
        $name = SsePushEvent::text($name);
        $result = match (true) {
            is_array($name) => SsePushResult::invalid($kind, $name[0]),
            $deny !== false && (!is_int($deny) || $deny < 0) => SsePushResult::invalid('deny', 'must be a whole number of seconds from 0 on'),
            default => self::call('DELETE', "/{$kind}s/" . self::segment($name) . ($deny === false ? '' : "?deny={$deny}s"))[0],
        };
        self::report([$result]);
        return $result;
    }

    /**
     * Returns a user's name as one segment of a topic, as the proxy writes it for `{user}` in a grant: `%`, `/`, `*` and control
     * characters percent-encoded. `SsePush::topic('user/' . SsePush::escape($name) . '/mail')`.
     */
    public static function escape(mixed $user): string
    {
        if (is_array($user = SsePushEvent::text($user))) {
            return '';
        }
        return (string) preg_replace_callback('/[%\/*\p{Cc}]/u', static fn (array $m): string => '%' . strtoupper(implode('%', str_split(bin2hex($m[0]), 2))), $user);
    }

    /**
     * Returns a ticket, with which a page opens its stream as that user: `'/events?ticket=' . SsePush::ticket($user->id)`.
     * It lets its bearer act as that user until it expires, so it belongs in a page, not in a log.
     *
     * @param string|int       $user    As whom.
     * @param iterable<string> $topics  Topics, or patterns, that are granted beside the directive's own.
     * @param int              $seconds How long it is valid; the proxy accepts at most its `max_age`, a day. The stream
     *                                  ends then; clients/js renews in time.
     * @param bool             $once    Whether only one client at a time may be connected with it.
     * @return string|null Null: there is no secret, or something given is wrong; onError is told.
     */
    public static function ticket(mixed $user, mixed $topics = [], mixed $seconds = 3600, mixed $once = false): ?string
    {
        $secret = trim(self::setting('ticketSecret', 'SSE_PUSH_TICKET_SECRET'));
        $user = SsePushEvent::text($user);
        $list = [];
        $problem = match (true) {
            strlen($secret) < 32 => ['ticketSecret', 'must be at least 32 bytes long'],
            is_array($user) => ['user', $user[0]],
            !is_iterable($topics) => ['topics', 'must be a list, not ' . get_debug_type($topics)],
            !is_int($seconds) || $seconds < 1 => ['seconds', 'must be a whole number from 1 on'],
            default => null,
        };
        try {
            foreach ($problem === null ? $topics : [] as $topic) {
                $list[] = $topic = SsePushEvent::text($topic);
                $problem ??= is_array($topic) ? ['topics', $topic[0]] : null;
            }
        } catch (\Throwable $e) {
            $problem = ['topics', $e->getMessage()];
        }
        if ($problem !== null) {
            self::report([SsePushResult::invalid(...$problem)]);
            return null;
        }
        $payload = ['user' => $user, 'exp' => time() + $seconds];
        $payload += $list === [] ? [] : ['topics' => $list];
        $payload += $once ? ['once' => bin2hex(random_bytes(8))] : [];
        $signed = 'sse1.' . rtrim(strtr(base64_encode(json_encode($payload, SsePushEvent::JSON)), '+/', '-_'), '=');
        return $signed . '.' . hash_hmac('sha256', $signed, $secret);
    }

    /**
     * Has the proxy fetch a stream, such as the answer of a model API, for pages that ask for it by its id:
     *
     *     $relay = SsePush::relay(['url' => 'https://api.openai.com/v1/chat/completions', 'body' => ['stream' => true, …]])
     *         ->toUser($user->id)->done('http://app.internal/chat/done')->start();
     *     // new EventSource('/events?relay=' + id), with the id in $relay->id
     *
     * @param array{url: string, method?: string, headers?: array<string, string>, body?: mixed} $request What to fetch. API keys belong
     *        in the proxy's config.
     */
    public static function relay(mixed $request): SsePushRelay
    {
        return new SsePushRelay($request);
    }

    /** Stops a relay, on any node. Status 404: there is none with the id. */
    public static function stopRelay(mixed $id): SsePushResult
    {
        $id = SsePushEvent::text($id);
        $result = is_array($id) ? SsePushResult::invalid('id', $id[0]) : self::call('DELETE', '/relays/' . self::segment($id))[0];
        self::report([$result]);
        return $result;
    }

    /**
     * Reads and checks the proxy's call at the end of a relay: `$end = SsePush::relayDone() ?? exit(http_response_code(403));`.
     * It may come more than once.
     *
     * @param string|null $body      Default: the request's.
     * @param string|null $signature Default: the request's X-SSE-Signature.
     * @return array{id: string, status: string, events?: list<array{event?: string, id?: string, data: string}>, text?: string}|null
     *         Null: the call is not from the proxy, or is older than five minutes; onError is told.
     */
    public static function relayDone(?string $body = null, ?string $signature = null): ?array
    {
        $secret = trim(self::setting('relaySecret', 'SSE_PUSH_RELAY_SECRET'));
        $body ??= (string) file_get_contents('php://input');
        $signature ??= (string) ($_SERVER['HTTP_X_SSE_SIGNATURE'] ?? '');
        $signed = preg_match('/^t=(\d{1,12}),v1=([0-9a-f]{64})$/D', $signature, $m) === 1;
        $end = json_decode($body, true);
        $problem = match (true) {
            strlen($secret) < 32 => ['relaySecret', 'must be at least 32 bytes long'],
            !$signed || !hash_equals(hash_hmac('sha256', "$m[1].$body", $secret), $m[2]) => ['signature', 'is not that of the body'],
            abs(time() - (int) $m[1]) > 300 => ['signature', 'is too old'],
            !is_array($end) => ['body', 'is not JSON'],
            default => null,
        };
        if ($problem !== null) {
            self::report([SsePushResult::invalid(...$problem)]);
            return null;
        }
        return $end;
    }

    /** @internal What SsePushRelay::start does. */
    public static function start(SsePushRelay $relay): SsePushResult
    {
        $problem = $relay->problem();
        if ($problem !== null) {
            $result = SsePushResult::invalid(...$problem);
        } else {
            [$result, $answer] = self::call('POST', '/relays', $relay->fields(), false); // its id makes it one relay, however often it is sent
            if ($result->ok) {
                $result = is_string($answer['id'] ?? null) ? new SsePushResult(true, $answer['id'], $result->status) : self::unexpected($result->status);
            }
        }
        self::report([$result]);
        return $result;
    }

    /** @internal What SsePushEvent::send does. */
    public static function publish(SsePushEvent $event): SsePushResult
    {
        $problem = $event->problem();
        if ($problem !== null) {
            $result = SsePushResult::invalid(...$problem);
        } else {
            $fields = $event->fields();
            [$result, $answer] = self::call('POST', '/publish', $fields);
            if ($result->ok) {
                $result = is_string($answer['id'] ?? null) ? self::published($answer, $result->status) : self::unexpected($result->status);
            }
        }
        self::report([$result]);
        return $result;
    }

    /** @param array<mixed> $item The answer for one event. */
    private static function published(array $item, int $status): SsePushResult
    {
        $delivery = $item['delivery'] ?? null;
        return new SsePushResult(true, $item['id'], $status, delivery: is_array($delivery) ? $delivery : null);
    }

    /** A member of a GET's answer, or null. */
    private static function ask(string $path, string $member, string $type): mixed
    {
        [$result, $answer] = self::call('GET', $path);
        $value = $answer[$member] ?? null;
        if ($result->ok && get_debug_type($value) !== $type) {
            $result = self::unexpected($result->status);
        }
        self::report([$result]);
        return $result->ok ? $value : null;
    }

    /** @param list<SsePushResult> $results */
    private static function report(array $results): void
    {
        $failed = [];
        foreach ($results as $result) {
            if (!$result->ok) {
                $failed[spl_object_id($result)] = $result; // A batch that failed as a whole has failed once.
            }
        }
        $onError = self::$config['onError'];
        if ($onError !== null && !self::$reporting) {
            self::$reporting = true; // A callback that publishes its failures must not call itself for ever.
            try {
                array_walk($failed, static fn (SsePushResult $r) => $onError($r));
            } catch (\Throwable) {
            } finally {
                self::$reporting = false;
            }
        }
        if (self::$config['strict'] && $failed !== []) {
            throw new SsePushException(reset($failed), $results);
        }
    }

    /**
     * One request with its retries.
     *
     * @param array<mixed>|null $body
     * @param bool              $keyed Whether each event in the body gets an idempotency key.
     * @return array{SsePushResult, mixed} The result without an id, and the decoded answer.
     */
    private static function call(string $method, string $path, ?array $body = null, bool $keyed = true): array
    {
        // Not @: an app's own handler would be called all the same, and many throw.
        self::$warning = '';
        set_error_handler(static function (int $level, string $message): bool {
            self::$warning = self::$warning ?: $message;
            return true;
        });
        try {
            return self::attempts($method, $path, $body, $keyed);
        } catch (\Throwable $e) {
            return [SsePushResult::invalid(null, $e->getMessage()), null];
        } finally {
            restore_error_handler();
        }
    }

    /** @return array{SsePushResult, mixed} */
    private static function attempts(string $method, string $path, ?array $body, bool $keyed): array
    {
        $wait = max([0, ...array_map(SsePushEvent::seconds(...), $body === null || !array_is_list($body) ? [$body ?? []] : $body)]);
        $deadline = self::now() + self::$config['timeout'] + $wait;
        $to = self::endpoint();
        $token = trim(self::setting('token', 'SSE_PUSH_TOKEN'));
        $problem = match (true) {
            is_string($to) => ['url', $to],
            preg_match('/^[\x21-\x7e]*$/D', $token) !== 1 => ['token', 'must be printable ASCII without spaces'],
            !in_array(self::$config['transport'], ['auto', 'curl', 'streams'], true) => ['transport', 'must be auto, curl or streams'],
            self::$config['transport'] === 'curl' && !function_exists('curl_init') => ['transport', 'ext-curl is not there'],
            default => null,
        };
        if ($problem !== null) {
            return [SsePushResult::invalid(...$problem), null];
        }
        $headers = ['Accept: application/json', 'User-Agent: sse-push-php'];
        if ($token !== '') {
            $headers[] = 'Authorization: Bearer ' . $token;
        }
        $content = null;
        if ($body !== null) {
            $key = bin2hex(random_bytes(16));
            $body = !$keyed ? $body : (array_is_list($body)
                ? array_map(static fn (array $one, int $i): array => $one + ['idempotency_key' => "$key-$i"], $body, array_keys($body))
                : $body + ['idempotency_key' => $key]);
            $content = json_encode($body, SsePushEvent::JSON);
            $headers[] = 'Content-Type: application/json';
        }
        $curl = self::$config['transport'] !== 'streams' && function_exists('curl_init');

        $unsure = false;
        for ($left = self::$config['retries'] + 1; ; $left--) {
            $all = $deadline - self::now();
            $share = max(0.001, min($all, ($all - $wait) / $left + $wait));
            $connect = min($share, self::$config['connectTimeout']);
            $answer = $curl
                ? self::overCurl($to, $method, $path, $headers, $content, $connect, $share)
                : self::overStreams($to, $method, $path, $headers, $content, $connect, $share);
            $again = isset($answer['status']) ? in_array($answer['status'], self::RETRY_STATUS, true) : $answer['again'];
            $pause = max((float) ($answer['headers']['retry-after'] ?? 0), random_int(50, 150) / 1000);
            if (!$again || $left === 1 || self::now() + $pause >= $deadline) {
                break;
            }
            $unsure = $unsure || ($answer['sent'] ?? false);
            usleep((int) ($pause * 1e6));
        }
        return self::conclude($answer, $unsure && $again, $to);
    }

    /** @return array{SsePushResult, mixed} */
    private static function conclude(array $answer, bool $unsure, array $to): array
    {
        $at = ' (' . $to['url'] . ')';
        if (!isset($answer['status'])) {
            $unsure = $unsure || $answer['sent'];
            return [new SsePushResult(false, error: $unsure ? 'unanswered' : 'unreachable', detail: $answer['detail'] . $at), null];
        }
        $status = $answer['status'];
        $json = json_decode($answer['body'], true);
        if ($status >= 200 && $status < 300) {
            $ok = $status === 204 || is_array($json);
            $why = $answer['body'] === '' ? $at . '; an empty 200 is Caddy\'s answer for a host that none of its sites has' : $at;
            return $ok ? [new SsePushResult(true, null, $status), $json] : [self::unexpected($status, $why), null];
        }
        $isProblem = str_starts_with(strtolower($answer['headers']['content-type'] ?? ''), 'application/problem+json');
        $hint = match (true) {
            isset($answer['headers']['location']) => 'redirected to ' . $answer['headers']['location'] . '; is the url right?',
            $status === 404 => 'the internal route is not there, or it does not let this caller in: check url, token and allow',
            default => 'status ' . $status,
        } . $at;
        $result = SsePushResult::problem($status, $isProblem ? $json : null, $hint);
        if ($unsure) {
            $result = new SsePushResult(false, null, $status, 'unanswered', $result->detail, $result->field);
        }
        return [$result, null];
    }

    /**
     * One try.
     *
     * @return array{status?: int, headers?: array<string, string>, body?: string, detail?: string, again?: bool, sent?: bool}
     *     With a status, or without one and with what went wrong, whether to try again, and whether it may have been sent.
     */
    private static function overCurl(array $to, string $method, string $path, array $headers, ?string $content, float $connect, float $total): array
    {
        if (self::$curl === null || self::$curlPid !== getmypid()) {
            self::$curl = curl_init();
            self::$curlPid = getmypid();
        }
        $got = '';
        $fields = [];
        $options = [
            CURLOPT_URL => $to['url'] . $path,
            CURLOPT_CUSTOMREQUEST => $method,
            CURLOPT_HTTPHEADER => [...$headers, 'Expect:'],
            CURLOPT_CONNECTTIMEOUT_MS => max(1, (int) ($connect * 1000)),
            CURLOPT_TIMEOUT_MS => max(1, (int) ($total * 1000)),
            CURLOPT_NOSIGNAL => true,
            CURLOPT_PROXY => '', // The environment's proxy is for the outside.
            CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
            CURLOPT_PATH_AS_IS => true,
            CURLOPT_WRITEFUNCTION => static function ($_, string $bytes) use (&$got): int {
                $got .= $bytes;
                return strlen($got) > self::MAX_ANSWER ? 0 : strlen($bytes);
            },
            CURLOPT_HEADERFUNCTION => static function ($_, string $line) use (&$fields): int {
                self::header($line, $fields);
                return strlen($line);
            },
        ];
        if ($content !== null) {
            $options[CURLOPT_POSTFIELDS] = $content;
        }
        if ($to['unix'] !== null) {
            $options[CURLOPT_URL] = 'http://localhost' . $to['prefix'] . $path;
            $options[CURLOPT_UNIX_SOCKET_PATH] = $to['unix'];
        }
        curl_reset(self::$curl); // Keeps the connection.
        curl_setopt_array(self::$curl, $options);
        curl_exec(self::$curl);
        $errno = curl_errno(self::$curl);
        if ($errno === 0) {
            return ['status' => curl_getinfo(self::$curl, CURLINFO_RESPONSE_CODE), 'headers' => $fields, 'body' => $got];
        }
        return [
            'detail' => curl_error(self::$curl) ?: curl_strerror($errno),
            'again' => in_array($errno, self::RETRY_CURL, true),
            'sent' => curl_getinfo(self::$curl, CURLINFO_PRETRANSFER_TIME) > 0,
        ];
    }

    /** One try, as overCurl: HTTP/1.0, so that the answer's end is its length or the connection's end. */
    private static function overStreams(array $to, string $method, string $path, array $headers, ?string $content, float $connect, float $total): array
    {
        $end = self::now() + $total;
        $fail = static fn (string $detail, bool $again, bool $sent): array => compact('detail', 'again', 'sent');
        $socket = stream_socket_client($to['socket'], $errno, $error, $connect, STREAM_CLIENT_CONNECT, stream_context_create(['ssl' => ['peer_name' => $to['host']]]));
        if ($socket === false) {
            return $fail('cannot connect: ' . preg_replace('/\s+/', ' ', $error === '' ? self::$warning : $error), true, false);
        }
        try {
            stream_set_blocking($socket, false);
            $headers = ["$method {$to['prefix']}$path HTTP/1.0", 'Host: ' . $to['authority'], 'Connection: close', ...$headers];
            if ($content !== null) {
                $headers[] = 'Content-Length: ' . strlen($content);
            }
            $out = implode("\r\n", $headers) . "\r\n\r\n" . $content;
            for ($sent = 0; $sent < strlen($out); $sent += $n) {
                $n = fwrite($socket, substr($out, $sent, 65536));
                if ($n === false || ($n === 0 && feof($socket))) {
                    break; // An answer may be there all the same: 413, say.
                }
                if ($n === 0 && !self::ready($socket, $end, true)) {
                    return $fail('timed out while sending', true, true);
                }
            }
            $got = '';
            $length = null;
            $body = 0;
            while (true) {
                $bytes = fread($socket, 65536);
                $got .= (string) $bytes;
                if ($body === 0 && ($at = strpos($got, "\r\n\r\n")) !== false) {
                    $body = $at + 4;
                    $fields = [];
                    foreach (explode("\r\n", substr($got, 0, $at)) as $line) {
                        self::header($line, $fields);
                    }
                    $status = (int) substr($got, 9, 3);
                    $length = $status === 204 || $status === 304 ? 0 : $fields['content-length'] ?? null;
                }
                $ended = feof($socket);
                if ($body > 0 && ($length === null ? $ended : strlen($got) - $body >= (int) $length)) {
                    return ['status' => $status, 'headers' => $fields, 'body' => substr($got, $body)];
                }
                if ($ended) {
                    return $fail('the connection ended before the answer', true, true);
                }
                if (strlen($got) > self::MAX_ANSWER) {
                    return $fail('the answer is too long', false, true);
                }
                if (self::now() >= $end || ($bytes === '' || $bytes === false) && !self::ready($socket, $end, false)) {
                    return $fail('timed out', true, true);
                }
            }
        } finally {
            fclose($socket);
        }
    }

    /** Waits until a socket can be read or written; false once the time is over. */
    private static function ready(mixed $socket, float $end, bool $write): bool
    {
        $left = $end - self::now();
        $reads = $write ? null : [$socket];
        $writes = $write ? [$socket] : null;
        $none = null;
        if ($left > 0) {
            stream_select($reads, $writes, $none, (int) $left, (int) (fmod($left, 1) * 1e6));
        }
        return self::now() < $end;
    }

    /** @param array<string, string> $fields */
    private static function header(string $line, array &$fields): void
    {
        $parts = explode(':', $line, 2);
        if (count($parts) === 2) {
            $fields[strtolower(trim($parts[0]))] = trim($parts[1]);
        }
    }

    /**
     * Where requests go, or what is wrong with the url.
     *
     * @return array<string, ?string>|string
     */
    private static function endpoint(): array|string
    {
        $url = rtrim(trim(self::setting('url', 'SSE_PUSH_URL')), '/');
        if ($url === '') {
            return 'is not set: call SsePush::configure(url: …) or set SSE_PUSH_URL';
        }
        if (preg_match('/[\x00-\x20\x7f]/', $url) === 1) {
            return 'must not hold spaces or control characters';
        }
        if (preg_match('~^unix://(/[^:]+)(?::(/.*))?$~D', $url, $m) === 1) {
            return [
                'url' => $url, 'unix' => $m[1], 'prefix' => $m[2] ?? '/_sse',
                'socket' => 'unix://' . $m[1], 'host' => 'localhost', 'authority' => 'localhost',
            ];
        }
        $p = parse_url($url);
        if (!is_array($p) || !isset($p['host']) || !in_array(strtolower($p['scheme'] ?? ''), ['http', 'https'], true)) {
            return 'must be http://…, https://… or unix://…';
        }
        if (isset($p['user']) || isset($p['pass']) || isset($p['query']) || isset($p['fragment'])) {
            return 'must not hold a user, a query or a fragment';
        }
        $tls = strtolower($p['scheme']) === 'https';
        $port = $p['port'] ?? null;
        return [
            'url' => $url, 'unix' => null, 'prefix' => $p['path'] ?? '', 'host' => $p['host'],
            'socket' => ($tls ? 'tls://' : 'tcp://') . $p['host'] . ':' . ($port ?? ($tls ? 443 : 80)),
            'authority' => $p['host'] . ($port === null ? '' : ':' . $port),
        ];
    }

    /** Returns what was configured, or else what the environment says; frameworks that read .env files fill only some of these. */
    private static function setting(string $name, string $variable): string
    {
        $value = self::$config[$name] ?? $_SERVER[$variable] ?? $_ENV[$variable] ?? getenv($variable);
        return is_string($value) ? $value : '';
    }

    private static function segment(string $name): string
    {
        // "." and ".." as they are would be steps of the path.
        return str_replace('.', '%2E', rawurlencode($name));
    }

    private static function status(mixed $problem): int
    {
        return is_int($problem['status'] ?? null) ? $problem['status'] : 0;
    }

    private static function unexpected(int $status, string $at = ''): SsePushResult
    {
        return new SsePushResult(false, null, $status, 'unexpected', 'the answer is not one of an internal route; is the url right?' . $at);
    }

    private static function now(): float
    {
        return hrtime(true) / 1e9;
    }
}

/** A relay that is to be started. Each method returns a changed copy. */
final class SsePushRelay
{
    /** @var array<string, mixed> */
    private array $fields = [];

    /** @var array{string, string}|null The first field that is wrong, and how. */
    private ?array $problem = null;

    /** @internal Use SsePush::relay(). */
    public function __construct(mixed $request)
    {
        $this->fields['id'] = bin2hex(random_bytes(16)); // so that a retry is the same relay
        if (!is_array($request)) {
            $this->problem = ['request', 'must be an array, not ' . get_debug_type($request)];
            return;
        }
        if (($request['headers'] ?? null) === []) {
            unset($request['headers']); // which would be a list in JSON
        }
        $this->fields['request'] = $request;
    }

    /**
     * Who may hear it: this user.
     *
     * @param string|int|\Stringable $user
     */
    public function toUser(mixed $user): self
    {
        return $this->with('user', $user);
    }

    /** Lets all clients hear it that are granted this topic. */
    public function toTopic(mixed $topic): self
    {
        return $this->with('topic', $topic);
    }

    /** Its id, such as `chat-7-42`. The same call with the same id is the same relay. Default: a random one. */
    public function id(mixed $id): self
    {
        return $this->with('id', $id);
    }

    /** The name of the events that have none. Default: `message`. */
    public function event(mixed $event): self
    {
        return $this->with('event', $event);
    }

    /** How the answer is read: `text` or `lines`. Default: as its Content-Type says. */
    public function as(mixed $format): self
    {
        return $this->with('as', $format);
    }

    /** How often the request is sent again if the upstream cannot be reached, or answers 429 or 5xx: 0 to 5. Default: 0. */
    public function retry(int $times): self
    {
        $copy = clone $this;
        $copy->fields['retry'] = $times;
        return $copy;
    }

    /** Where the app is told of the end; see SsePush::relayDone(). */
    public function done(mixed $url): self
    {
        return $this->with('done', $url);
    }

    /** Starts it. The result's id is what pages ask for: `/events?relay=<id>`. */
    public function start(): SsePushResult
    {
        return SsePush::start($this);
    }

    /**
     * @internal
     * @return array{?string, string}|null The field that is wrong, and how.
     */
    public function problem(): ?array
    {
        $for = isset($this->fields['user']) || isset($this->fields['topic']);
        return $this->problem ?? ($for ? null : ['user', 'is missing: say who may hear it, by toUser() or toTopic()']);
    }

    /**
     * @internal
     * @return array<string, mixed>
     */
    public function fields(): array
    {
        return $this->fields;
    }

    private function with(string $field, mixed $value): self
    {
        $copy = clone $this;
        $value = SsePushEvent::text($value);
        if (is_array($value)) {
            $copy->problem ??= [$field, $value[0]];
        } else {
            $copy->fields[$field] = $value;
        }
        return $copy;
    }
}

/**
 * An event on its way: targets, options, and in the end a name and data. Each method returns a changed copy, so that
 * `$room = SsePush::topic('room')` serves many times. Several targets add up, with one delivery to each connection.
 */
final class SsePushEvent
{
    /** @internal */
    public const JSON = JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR;

    /** @var array<string, mixed> */
    private array $fields = [];

    /** @var array{string, string}|null The first field that is wrong, and how. */
    private ?array $problem = null;

    /** @see SsePush::user() */
    public function user(mixed $user): self
    {
        return $this->add('users', [$user], 'user');
    }

    /** @see SsePush::users() */
    public function users(mixed $users): self
    {
        return $this->add('users', $users);
    }

    /** @see SsePush::topic() */
    public function topic(mixed $topic): self
    {
        return $this->add('topics', [$topic], 'topic');
    }

    /** @see SsePush::topics() */
    public function topics(mixed $topics): self
    {
        return $this->add('topics', $topics);
    }

    /** @see SsePush::connection() */
    public function connection(mixed $connection): self
    {
        return $this->add('connections', [$connection], 'connection');
    }

    /** @see SsePush::broadcast() */
    public function broadcast(): self
    {
        return $this->with('broadcast', true);
    }

    /**
     * Leaves out these connections, such as the sender's own.
     *
     * @param string|null ...$connections Null and empty are ignored.
     */
    public function exclude(mixed ...$connections): self
    {
        $connections = array_filter($connections, static fn ($c): bool => $c !== null && $c !== '');
        return $connections === [] ? $this : $this->add('exclude', $connections);
    }

    /**
     * The app's own id; pages get it as the end of lastEventId, after `~`.
     *
     * @param string|int $id 1 to 128 bytes.
     */
    public function id(mixed $id): self
    {
        return $this->string('id', $id);
    }

    /**
     * Tells the pages to wait this long before they reconnect.
     *
     * @param int $milliseconds At least 500.
     */
    public function retry(mixed $milliseconds): self
    {
        return $this->integer('retry', $milliseconds);
    }

    /**
     * The event is not delivered after this time.
     *
     * @param int $seconds
     */
    public function ttl(mixed $seconds): self
    {
        return $this->integer('ttl', $seconds);
    }

    /**
     * A client that is behind may get only the newest of the events with the same key and targets.
     *
     * @param string|int $key
     */
    public function coalesce(mixed $key): self
    {
        return $this->string('coalesce', $key);
    }

    /**
     * The key under which a repeated publish is stored once, such as `order-7-paid`. Default: a random one for each send.
     *
     * @param string|int $key
     */
    public function idempotencyKey(mixed $key): self
    {
        return $this->string('idempotency_key', $key);
    }

    /**
     * Waits until it is known which connections get the event, or until it is written to them: see SsePushResult::$delivery.
     *
     * @param string    $until   `matched` or `written`.
     * @param int|float $seconds How long at most, 0.001 to 10. A client that reads nothing costs that time.
     */
    public function wait(mixed $until = 'written', mixed $seconds = 1): self
    {
        return match (true) {
            $until !== 'matched' && $until !== 'written' => $this->failed('wait', 'must be matched or written'),
            !is_int($seconds) && !is_float($seconds) || !($seconds >= 0.001 && $seconds <= 10) => $this->failed('timeout', 'must be 0.001 to 10 seconds'),
            default => $this->with('wait', $until)->with('timeout', (int) ($seconds * 1000) . 'ms'),
        };
    }

    /**
     * @internal How long an event is waited for.
     * @param array<string, mixed> $fields
     */
    public static function seconds(array $fields): float
    {
        return (int) ($fields['timeout'] ?? 0) / 1000;
    }

    /**
     * Sets name and data, for SsePush::batch().
     *
     * @param string $event The name that pages listen for; `message` is EventSource's onmessage.
     * @param mixed  $data  A string (or \Stringable) goes out as it is, anything else as JSON. Default: empty.
     */
    public function event(mixed $event, mixed $data = ''): self
    {
        $copy = $this->string('event', $event);
        try {
            if ($data instanceof \Stringable && !$data instanceof \JsonSerializable) {
                $data = (string) $data;
            }
            $copy->fields['data'] = is_string($data) ? $data : json_encode($data, self::JSON);
            if (preg_match('//u', $copy->fields['data']) !== 1) {
                $copy->problem ??= ['data', 'must be valid UTF-8'];
            }
        } catch (\Throwable $e) {
            $copy->problem ??= ['data', 'cannot be encoded: ' . $e->getMessage()];
        }
        return $copy;
    }

    /**
     * Publishes.
     *
     * @param string $event
     * @param mixed $data As with event().
     */
    public function send(mixed $event, mixed $data = ''): SsePushResult
    {
        return SsePush::publish($this->event($event, $data));
    }

    /**
     * @internal
     * @return array{?string, string}|null The field that is wrong, and how.
     */
    public function problem(): ?array
    {
        if ($this->problem !== null) {
            return $this->problem;
        }
        if (array_intersect_key($this->fields, ['users' => 1, 'topics' => 1, 'connections' => 1, 'broadcast' => 1]) === []) {
            return ['user', 'a target is missing'];
        }
        return isset($this->fields['event']) ? null : ['event', 'is missing: call event() before batch()'];
    }

    /**
     * @internal
     * @return array<string, mixed>
     */
    public function fields(): array
    {
        return $this->fields;
    }

    /**
     * @internal
     * @return string|array{string} The value as a non-empty UTF-8 string, or what is wrong with it.
     */
    public static function text(mixed $value): string|array
    {
        try {
            $value = is_int($value) || $value instanceof \Stringable ? (string) $value : $value;
        } catch (\Throwable $e) {
            return [$e->getMessage()];
        }
        return match (true) {
            $value === null => ['must not be null'],
            !is_string($value) => ['must be a string, not ' . get_debug_type($value)],
            $value === '' => ['must not be empty'],
            preg_match('//u', $value) !== 1 => ['must be valid UTF-8'],
            default => $value,
        };
    }

    private function with(string $field, mixed $value): self
    {
        $copy = clone $this;
        $copy->fields[$field] = $value;
        return $copy;
    }

    private function failed(string $field, string $problem): self
    {
        $copy = clone $this;
        $copy->problem ??= [$field, $problem];
        return $copy;
    }

    private function string(string $field, mixed $value): self
    {
        $value = self::text($value);
        return is_array($value) ? $this->failed($field, $value[0]) : $this->with($field, $value);
    }

    private function integer(string $field, mixed $value): self
    {
        return is_int($value) ? $this->with($field, $value) : $this->failed($field, 'must be an integer, not ' . get_debug_type($value));
    }

    private function add(string $field, mixed $values, ?string $name = null): self
    {
        if (!is_iterable($values)) {
            return $this->failed($field, 'must be a list, not ' . get_debug_type($values));
        }
        $all = $this->fields[$field] ?? [];
        $n = count($all);
        try {
            foreach ($values as $value) {
                $value = self::text($value);
                if (is_array($value)) {
                    return $this->failed($name ?? $field, $value[0]);
                }
                $all[] = $value;
            }
        } catch (\Throwable $e) {
            return $this->failed($field, $e->getMessage());
        }
        return count($all) === $n ? $this->failed($field, 'must not be empty') : $this->with($field, $all);
    }
}

/** How a publish or a disconnect went. */
final class SsePushResult
{
    /**
     * @param bool        $ok     Whether it is done.
     * @param string|null $id     The event's position.
     * @param int         $status The answer's HTTP status; 0 without an answer.
     * @param string|null $error  `invalid`: refused here, nothing was sent. `unreachable`: no connection, nothing was sent.
     *                            `unanswered`: sent, without an answer in time; it may be published or not. `refused`: the
     *                            proxy said no. `unexpected`: something other than the proxy answered.
     * @param string|null $detail What happened, for people.
     * @param string|null $field  The field that is wrong.
     * @param array{scope: string, matched: int, written?: int, failed?: int, partial?: bool, users?: array<array{matched: int,
     *        written?: int, failed?: int, elsewhere?: int, offline?: bool}>}|null $delivery If wait() was called: how many
     *        connections it is for. Null if that is not known, such as for an event that was published before.
     */
    public function __construct(
        public readonly bool $ok,
        public readonly ?string $id = null,
        public readonly int $status = 0,
        public readonly ?string $error = null,
        public readonly ?string $detail = null,
        public readonly ?string $field = null,
        public readonly ?array $delivery = null,
    ) {
    }

    /** @internal */
    public static function invalid(?string $field, string $detail): self
    {
        return new self(false, error: 'invalid', detail: $field === null ? $detail : "$field: $detail", field: $field);
    }

    /** @internal From a problem document (RFC 9457). */
    public static function problem(int $status, mixed $problem, ?string $else = null): self
    {
        $text = static fn (string $k): ?string => is_string($problem[$k] ?? null) ? $problem[$k] : null;
        return new self(false, null, $status, 'refused', $text('detail') ?? $text('title') ?? $else, $text('field'));
    }

    /** Reports whether one of the event's users certainly has no connection, on any node: then send an email, say. */
    public function isOffline(mixed $user): bool
    {
        $user = SsePushEvent::text($user);
        return is_string($user) && ($this->delivery['users'][$user]['offline'] ?? false) === true;
    }

    public function __toString(): string
    {
        if ($this->ok) {
            return 'sse push: ok';
        }
        $status = $this->status === 0 ? '' : ' ' . $this->status;
        return "sse push: {$this->error}$status: {$this->detail}";
    }
}

/** A failure, in strict mode. */
final class SsePushException extends \RuntimeException
{
    /**
     * @param SsePushResult       $result  The first failure.
     * @param list<SsePushResult> $results All of a batch's.
     */
    public function __construct(public readonly SsePushResult $result, public readonly array $results)
    {
        parent::__construct((string) $result, $result->status);
    }
}
