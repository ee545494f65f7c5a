<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// What the pages share: who is asking, and the conversation so far.

require __DIR__ . '/../bootstrap.php';

session_name('tokens');
ini_set('session.use_strict_mode', '1');
session_set_cookie_params(['httponly' => true, 'samesite' => 'Lax', 'secure' => ($_SERVER['HTTPS'] ?? 'off') !== 'off']);

/** The user whose session it is; null for nobody. */
function me(): ?string
{
    if (isset($_COOKIE[session_name()])) {
        session_start(['read_and_close' => true]);
    }
    return $_SESSION['user'] ?? null;
}

/** A STAND-IN for a login: each browser is a user of its own. */
function enter(): string
{
    session_start();
    $_SESSION['user'] = bin2hex(random_bytes(8));
    session_write_close();
    return $_SESSION['user'];
}

/**
 * A user's questions and answers, by the ids of their relays. A STAND-IN for a table of your database.
 *
 * @return array<string, array{question: string, answer: string, status: string}>
 */
function turns(string $user): array
{
    return change($user, static fn (array $turns): array => $turns);
}

/** Stores what is given of a turn. */
function save(string $user, string $id, array $fields): void
{
    change($user, static fn (array $turns): array => array_replace($turns, [$id => $fields + ($turns[$id] ?? [])]));
}

/** Replaces a user's turns by what $change makes of them, one request at a time. */
function change(string $user, callable $change): array
{
    $file = fopen(($_SERVER['CHAT_DIR'] ?? sys_get_temp_dir()) . "/chat-$user.json", 'c+');
    flock($file, LOCK_EX); // until the file is closed
    $turns = json_decode(stream_get_contents($file), true) ?? [];
    $changed = $change($turns);
    if ($changed !== $turns) {
        ftruncate($file, 0);
        rewind($file);
        fwrite($file, json_encode($changed));
    }
    fclose($file);
    return $changed;
}
