<?php
// What forward_auth asks: who is it? The session is known here, and nowhere else.
$user = ['ann-session' => 'ann', 'ben-session' => 'ben'][$_COOKIE['session'] ?? ''] ?? null;
if ($user !== null) {
    header('X-User-ID: ' . $user);
} elseif (isset($_COOKIE['session'])) {
    http_response_code(401);
}
