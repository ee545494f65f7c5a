<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// The proxy calls when an answer is over: with all of it, whether or not a page was there to hear it. It may call more than once.

require __DIR__ . '/../chat.php';

$end = SsePush::relayDone() ?? exit(http_response_code(403));
$answer = '';
foreach ($end['events'] as $event) {
    $chunk = json_decode($event['data'], true); // null for [DONE]
    $answer .= $chunk['choices'][0]['delta']['content'] ?? '';
}
save($end['user'], $end['id'], ['answer' => $answer, 'status' => $end['status']]);
