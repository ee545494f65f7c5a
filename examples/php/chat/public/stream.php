<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// What Caddyfile.upstream has for /events: this answers at once, and the proxy holds the stream.

require __DIR__ . '/../identity.php';

$me = me();
if ($me === null) {
    http_response_code(401);
} else {
    header('X-SSE-Hold: stream');
    header("X-SSE-User: $me");
    header('X-SSE-Topics: room');
    header('X-SSE-Expires: 3600'); // then the browser comes back, and it is asked anew whose session it is
}
