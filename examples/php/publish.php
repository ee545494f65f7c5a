<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// The smallest example: an event for a user.
//
//     php examples/php/publish.php u1 "hello"
//     curl -d user=u1 -d text=hello http://localhost:8081/publish.php

require __DIR__ . '/bootstrap.php';

if (PHP_SAPI === 'cli') {
    if ($argc !== 3) {
        fwrite(STDERR, "usage: php publish.php <user> <text>\n");
        exit(2);
    }
    [, $user, $text] = $argv;
} else {
    header('Content-Type: text/plain; charset=utf-8');
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        http_response_code(405);
        header('Allow: POST');
        exit("POST user and text\n");
    }
    // Anybody may say anything to anyone here: a real app asks who is calling.
    if (!same_origin()) {
        http_response_code(403);
        exit("not from another site\n");
    }
    $user = $_POST['user'] ?? null;
    $text = $_POST['text'] ?? '';
}

// A null user is an error here, and not a message to everybody. `message` is what EventSource's onmessage hears.
$result = SsePush::user($user)->send('message', $text);

if (!$result->ok) {
    if (PHP_SAPI === 'cli') {
        exit(1); // The bootstrap has logged it.
    }
    http_response_code($result->error === 'invalid' ? 400 : 502);
    exit("$result\n");
}
echo "published as $result->id\n";
