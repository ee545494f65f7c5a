<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

namespace SsePush\Laravel;

use Illuminate\Broadcasting\BroadcastManager;
use Illuminate\Http\Request;
use Illuminate\Http\Response;

/**
 * Takes what a page whispers to a guarded channel. It comes by `two_way`: the proxy has checked whose connection it is, and says
 * so in X-SSE-Connection, which no client can send itself.
 */
final class WhisperController
{
    public function __invoke(Request $request, BroadcastManager $manager): Response
    {
        $connection = $request->header('X-SSE-Connection');
        $broadcaster = $manager->connection('sse_push');
        abort_unless(is_string($connection) && $broadcaster instanceof SsePushBroadcaster, 403);
        $event = $request->input('event');
        abort_unless(is_string($event) && $event !== '', 422, 'event: must be a text');
        $request->attributes->set(SsePushBroadcaster::WHISPER, true);
        $broadcaster->auth($request); // throws unless the user may be in the channel
        $result = $broadcaster->send($request->input('channel_name'), "client-$event", $request->input('data'), $connection);
        abort_unless($result->ok, 502, "sse_push: $result->detail");
        return new Response('', 204);
    }
}
