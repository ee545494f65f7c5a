<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// A chat behind a login: one room, messages to one user, who is there, and an answer to one tab. No request here waits for
// anything: the tabs hold their streams at the proxy, so a handful of PHP workers serve thousands of them.

require __DIR__ . '/../identity.php';

const NAME = '/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,31}$/Du';
const PASSWORD = 'open sesame'; // A STAND-IN, the same for everybody: an app has its users' password_hash(), and asks password_verify().

header("Content-Security-Policy: default-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'");
header('X-Content-Type-Options: nosniff');

$me = me();

if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    page($me);
    exit;
}
if (!same_origin()) {
    answer(403, 'not from another site');
}
if (post('action') === 'enter') {
    enter(trim(post('name')), post('password'));
}
if ($me === null) {
    answer(401, 'sign in first');
}
match (post('action')) {
    'renew' => answer(200, more: ['stream' => stream_of($me)]),
    'who' => who(),
    'leave' => leave($me),
    'say' => say($me, post('to'), trim(post('text'))),
    'ask' => ask($me, post('connection'), post('question')),
    default => answer(400, 'there is no such action'),
};
answer(204);

/** Signs in. */
function enter(string $name, #[\SensitiveParameter] string $password): never
{
    if (preg_match(NAME, $name) !== 1) {
        page(null, 'A name has 1 to 32 letters, digits, spaces, dots or dashes.', 400);
        exit;
    }
    if (!hash_equals(PASSWORD, $password)) {
        page(null, 'That is not the password.', 403);
        exit;
    }
    sign($name);
}

/**
 * Signs out, and only then ends the user's streams: who comes back is nobody by now. A tab with a ticket that is still good
 * comes back by it, asks who is here, and learns so.
 */
function leave(string $me): never
{
    session_start();
    $_SESSION = [];
    session_destroy();
    token_cookie('', 0);
    SsePush::disconnectUser($me);
    header('Location: ./', true, 303);
    exit;
}

function sign(string $name): never
{
    session_start();
    session_regenerate_id(true); // An id from before the sign-in is worth nothing after it.
    $_SESSION = ['name' => $name];
    session_write_close();
    header('Location: ./', true, 303);
    exit;
}

/** Who is here. The proxy knows, and tells the room of all that changes (`presence room`); so nothing is kept here. */
function who(): never
{
    $users = SsePush::presence();
    $users === null ? answer(502, 'who is here is not known') : answer(200, more: ['users' => $users]);
}

/** A message to the room, or to one user. */
function say(string $me, string $to, string $text): never
{
    if ($text === '' || strlen($text) > 4000) {
        answer(400, 'a message has 1 to 4000 bytes');
    }
    if ($to === '') {
        sent(SsePush::topic('room')->send('chat', ['from' => $me, 'text' => $text]));
    }
    // To each tab of both: the sender has other tabs, too. A user who matches twice hears it once.
    $result = SsePush::users([$to, $me])->send('private', ['from' => $me, 'to' => $to, 'text' => $text]);
    sent($result, ['online' => SsePush::isOnline($to)]);
}

/** A tab asks, naming its connection: only this tab is answered, by way of its stream. */
function ask(string $me, string $connection, string $question): never
{
    if (!is_mine($me, $connection)) {
        answer(403, 'that is not a connection of yours');
    }
    $tabs = count(SsePush::connections(user: $me) ?? []);
    sent(SsePush::connection($connection)->send('answer', [
        'question' => $question,
        'text' => sprintf('PHP worker %d says: it is %s, and you have %d tab%s open.', getmypid(), date('H:i:s'), $tabs, $tabs === 1 ? '' : 's'),
    ]));
}

function is_mine(string $me, string $connection): bool
{
    return $connection !== '' && in_array($connection, array_column(SsePush::connections(user: $me) ?? [], 'id'), true);
}

function post(string $name): string
{
    $value = $_POST[$name] ?? '';
    return is_string($value) && preg_match('//u', $value) === 1 ? $value : '';
}

function sent(SsePushResult $result, array $more = []): never
{
    $result->ok ? answer(200, more: $more) : answer($result->error === 'invalid' ? 400 : 502, 'not sent, try again');
}

function answer(int $status, ?string $error = null, array $more = []): never
{
    http_response_code($status);
    if ($status !== 204) {
        header('Content-Type: application/json');
        echo json_encode($more + ['error' => $error]);
    }
    exit;
}

function page(?string $me, string $problem = '', int $status = 200): void
{
    http_response_code($status);
    header('Content-Type: text/html; charset=utf-8');
    header('Cache-Control: no-store');
    $stream = $me === null ? '' : stream_of($me); // may set a cookie, so before the first byte
    $html = static fn (string $text): string => htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE);
    require __DIR__ . '/../page.php';
}
