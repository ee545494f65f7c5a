<?php
header('Content-Type: text/event-stream');
header('Cache-Control: no-cache');

while (1) {
    echo 'data: The server time is ' . date('r') . "\n\n";
    ob_flush();
    flush();
    if (connection_aborted()) break;
    sleep(1);
}
