<?php
// php clients.php <library> <URL>: opens a stream, and prints each event as a line of JSON.
declare(strict_types=1);

[, $library, $url] = $argv;
$http = ['header' => 'Accept: text/event-stream', 'timeout' => 60, 'protocol_version' => '1.0'];
$stream = fopen($url, 'r', false, stream_context_create(['http' => $http]));
$event = ['event' => '', 'data' => [], 'id' => ''];
while (($line = fgets($stream)) !== false) {
    if (($line = rtrim($line, "\n")) !== '') {
        [$name, $value] = explode(':', $line, 2) + [1 => ''];
        $value = preg_replace('/^ /', '', $value);
        if ($name === 'data') {
            $event['data'][] = $value;
        } else {
            $event[$name] = $value;
        }
        continue;
    }
    if ($event['data']) {
        $data = implode("\n", $event['data']);
        echo json_encode(['type' => $event['event'] ?: 'message', 'data' => substr($data, 0, 100), 'size' => strlen($data), 'id' => $event['id']]), "\n";
    }
    $event = ['event' => '', 'data' => [], 'id' => $event['id']];
}
