<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

namespace SsePush\Laravel;

use SsePush;

/** A channel's name, as Laravel and Echo write it: `orders`, `private-orders.7`, `presence-room`. */
final class ChannelName
{
    /** The topic that tells those in presence channels which users come and go: `presence guarded/users` in the Caddyfile. */
    public const USERS = 'guarded/users';

    public static function isPresence(string $channel): bool
    {
        return str_starts_with($channel, 'presence-');
    }

    /** The topic of a channel. Pages may subscribe to public/*; the app adds the guarded ones to a connection. */
    public static function topic(string $channel): string
    {
        $guarded = str_starts_with($channel, 'private-') || self::isPresence($channel);
        return ($guarded ? 'guarded/' : 'public/') . SsePush::escape($channel);
    }
}
