<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// An event for a user, straight into the hub's stream in Redis: no HTTP, and Caddy may be down meanwhile.
//
//     php examples/php/redis-direct/publish.php u1 "hello"

const MAX_EVENTS = 100_000; // the hub's max_events

if (PHP_SAPI !== 'cli' || $argc !== 3) {
    fwrite(STDERR, "usage: php publish.php <user> <text>\n");
    exit(2);
}
[, $user, $text] = $argv;

try {
    $redis = new Redis();
    $redis->connect(getenv('REDIS_HOST') ?: '127.0.0.1', (int) (getenv('REDIS_PORT') ?: 6379), 2.0);
    // $redis->auth(['user', 'password']);

    // The hub's name in braces; a hub without a name is "default".
    $id = publish($redis, 'main', ['user' => $user, 'event' => 'message', 'data' => $text]);
} catch (InvalidArgumentException | RedisException $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}
echo "published as $id\n";

/**
 * Fields: user, topic, connection (one), users, topics, connections (a list), broadcast (true); event, data, id, retry (ms, at least 500), ttl (s),
 * coalesce, exclude. The nodes pass over what they do not understand, and log it: nobody tells the publisher.
 *
 * @param array<string, string|int|bool|list<string>> $fields
 */
function publish(Redis $redis, string $hub, array $fields): string
{
    foreach ($fields as $name => $value) {
        // A user that is null must not turn into a message without one.
        $fields[$name] = match (true) {
            $value === null, $value === [] => throw new InvalidArgumentException("$name is empty"),
            is_array($value) => json_encode(array_map('strval', $value), JSON_THROW_ON_ERROR),
            is_bool($value) => $value ? '1' : '0',
            default => (string) $value,
        };
    }
    if (!array_intersect_key($fields, array_flip(['user', 'users', 'topic', 'topics', 'connection', 'connections', 'broadcast']))) {
        throw new InvalidArgumentException('no target: give user, topic, connection or broadcast');
    }
    $id = $redis->xAdd("sse:{{$hub}}:log", '*', $fields, MAX_EVENTS, true);
    return $id !== false ? $id : throw new RedisException($redis->getLastError() ?? 'not stored');
}
