<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// The proxy asks: whose session is it?

require __DIR__ . '/../chat.php';

$me = me();
if ($me === null) {
    http_response_code(401);
} else {
    header("X-SSE-User: $me");
}
