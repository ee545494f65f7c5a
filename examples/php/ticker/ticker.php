<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// Publishes invented prices to the topic `ticker`, for ticker/public/index.html:
//
//     php examples/php/ticker/ticker.php [--interval=<seconds>] [--count=<number>]
//
// Default: every second, until Ctrl-C.

require __DIR__ . '/../bootstrap.php';

$options = getopt('', ['interval:', 'count:'], $rest);
$interval = (float) ($options['interval'] ?? 1);
$count = (int) ($options['count'] ?? PHP_INT_MAX);
if ($rest !== $argc || $interval < 0.01 || $count < 1) {
    fwrite(STDERR, "usage: php ticker.php [--interval=<seconds, from 0.01>] [--count=<number, from 1>]\n");
    exit(2);
}

// All prices are one event, so that one replayed event fills a new page. Coalesced: who was away needs only the newest.
$ticker = SsePush::topic('ticker')->coalesce('price');
$prices = ['APPLE' => 12.50, 'PEAR' => 7.25, 'PLUM' => 31.00];

$failures = 0;
$next = microtime(true);
for ($n = 1; $n <= $count; $n++) {
    foreach ($prices as $name => $price) {
        $prices[$name] = round(max(1.0, $price * (1 + random_int(-100, 100) / 10000)), 2);
    }
    $result = $ticker->send('price', ['at' => date(DATE_ATOM), 'prices' => $prices]);
    if ($result->ok) {
        echo "$result->id ", json_encode($prices), "\n";
    } else {
        $failures++; // The proxy may be restarting: the next one will do.
    }
    $next = max($next + $interval, microtime(true));
    if ($n < $count) {
        usleep((int) max(0, ($next - microtime(true)) * 1e6));
    }
}
exit($failures === 0 ? 0 : 1);
