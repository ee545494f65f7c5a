<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

namespace SsePush\Laravel;

use Illuminate\Contracts\Cache\LockProvider;
use Illuminate\Contracts\Cache\Repository;
use SsePush;

/** Who is in a presence channel, in the app's cache: users who have entered, have not left, and are connected. */
final class Members
{
    private const SECONDS = 86400;

    public function __construct(private Repository $cache)
    {
    }

    /**
     * Adds a user, and returns all who are there, by their ids.
     *
     * @return array{0: array<string, mixed>, 1: bool} The members, and whether the user was not among them.
     */
    public function enter(string $channel, string $user, mixed $info): array
    {
        return $this->change($channel, static function (array $members) use ($user, $info): array {
            $online = SsePush::presence(); // null: it is not known
            if ($online !== null) {
                $members = array_intersect_key($members, array_flip($online));
            }
            $new = !array_key_exists($user, $members);
            $members[$user] = $info;
            return [$members, $new];
        });
    }

    /** Removes a user, and returns whether the user was there. */
    public function leave(string $channel, string $user): bool
    {
        return $this->change($channel, static function (array $members) use ($user): array {
            $there = array_key_exists($user, $members);
            unset($members[$user]);
            return [$members, $there];
        })[1];
    }

    /** @param callable(array<string, mixed>): array{0: array<string, mixed>, 1: bool} $change */
    private function change(string $channel, callable $change): array
    {
        $key = 'sse_push.members.' . $channel;
        $apply = function () use ($key, $change): array {
            [$members, $said] = $change($this->cache->get($key, []));
            $members === [] ? $this->cache->forget($key) : $this->cache->put($key, $members, self::SECONDS);
            return [$members, $said];
        };
        $store = $this->cache->getStore();
        return $store instanceof LockProvider ? $store->lock($key . '.lock', 5)->block(3, $apply) : $apply();
    }
}
