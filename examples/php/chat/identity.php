<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// Who is signed in, and how the proxy comes to know it: what differs from one Caddyfile to the next.

require __DIR__ . '/../bootstrap.php';

ini_set('session.use_strict_mode', '1');
session_set_cookie_params(['httponly' => true, 'samesite' => 'Lax', 'secure' => is_https()]);

/**
 * The user whose session it is; null for nobody. An open session is locked, and a user's requests would wait for each
 * other: read it, and let go.
 */
function me(): ?string
{
    if (isset($_COOKIE[session_name()])) {
        session_start(['read_and_close' => true]);
    }
    return $_SESSION['name'] ?? null;
}

/** Where a page of this user opens its stream. */
function stream_of(string $me): string
{
    $seconds = (int) (getenv('CHAT_SECONDS') ?: 3600); // how long a ticket or a token is good; the page asks for a new one in time
    $proof = [];
    switch ($_SERVER['CHAT_IDENTITY'] ?? 'query') {
        case 'session': // whoami.php tells the proxy
        case 'upstream': // stream.php does
            break;
        case 'ticket':
            $proof = ['ticket' => SsePush::ticket($me, seconds: $seconds)];
            break;
        case 'jwt':
            token_cookie(jwt($me, $seconds), $seconds);
            break;
        case 'query': // ANY PAGE CAN CLAIM ANY NAME: to try things out, no more
            $proof = ['userId' => $me];
    }
    return '/events?' . http_build_query($proof + ['topic' => 'room', 'replay' => 50]);
}

/** A JSON Web Token, signed with HS256. */
function jwt(string $me, int $seconds): string
{
    $base64 = static fn (string $bytes): string => rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    $signed = $base64('{"alg":"HS256"}') . '.' . $base64(json_encode(['sub' => $me, 'aud' => 'chat', 'exp' => time() + $seconds]));
    return $signed . '.' . $base64(hash_hmac('sha256', $signed, $_SERVER['CHAT_JWT_SECRET'], true));
}

/** Sets or, being empty, deletes the cookie that goes with requests for the stream, and with no others. */
function token_cookie(string $token, int $seconds): void
{
    $expires = $token === '' ? 1 : time() + $seconds;
    setcookie('chat_token', $token, ['expires' => $expires, 'path' => '/events', 'httponly' => true, 'samesite' => 'Strict', 'secure' => is_https()]);
}

function is_https(): bool
{
    return ($_SERVER['HTTPS'] ?? 'off') !== 'off';
}
