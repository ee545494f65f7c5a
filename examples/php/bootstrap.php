<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// What the examples share. With composer it would be vendor/autoload.php.
require_once __DIR__ . '/../../clients/php/SsePush.php';

SsePush::configure(
    // By the host name that the site has: Caddy answers 127.0.0.1 with an empty page where the site is localhost.
    url: $_SERVER['SSE_PUSH_URL'] ?? (getenv('SSE_PUSH_URL') ?: 'http://localhost:8080/_sse'),
    onError: static fn (SsePushResult $failed) => error_log((string) $failed),
);

/**
 * Whether a POST may have come from a page of this site. Browsers send Origin with every POST; without it there is no
 * browser, and so none whose cookie could be abused.
 */
function same_origin(): bool
{
    $origin = $_SERVER['HTTP_ORIGIN'] ?? null;
    return $origin === null || preg_replace('~^https?://~', '', $origin) === ($_SERVER['HTTP_HOST'] ?? '');
}
