<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// A chat with a model. No worker waits for an answer: PHP tells the proxy what to fetch, and the page listens there. The proxy
// tells done.php what the whole answer was.

require __DIR__ . '/../chat.php';

$me = me() ?? enter();
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    if (!same_origin()) {
        http_response_code(403);
        exit('not from another site');
    }
    match ($_POST['action'] ?? '') {
        'ask' => ask($me, $_POST['question']),
        'stop' => stop($me, $_POST['id']),
    };
    header('Location: ./', true, 303); // so that a reload asks nothing twice
    exit;
}
header('Cache-Control: no-store');
$turns = turns($me);
require __DIR__ . '/../page.php';

function ask(string $me, string $question): void
{
    $messages = [];
    foreach (turns($me) as $turn) {
        $messages[] = ['role' => 'user', 'content' => $turn['question']];
        $messages[] = ['role' => 'assistant', 'content' => $turn['answer']];
    }
    $messages[] = ['role' => 'user', 'content' => $question];

    $id = 'chat-' . bin2hex(random_bytes(8));
    save($me, $id, ['question' => $question, 'answer' => '', 'status' => 'running']);
    $relay = SsePush::relay([
        'url' => $_SERVER['MODEL_API'] . '/v1/chat/completions',
        'body' => ['model' => 'stand-in', 'stream' => true, 'messages' => $messages],
    ])->id($id)->toUser($me)->done($_SERVER['CHAT_DONE'])->start();
    if (!$relay->ok) {
        save($me, $id, ['status' => 'failed']); // done.php has the last word, if it has begun after all
    }
}

function stop(string $me, string $id): void
{
    if (isset(turns($me)[$id])) { // nobody stops another user's answer
        SsePush::stopRelay($id);
    }
}
