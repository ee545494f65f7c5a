<?php
// What authorize asks: it takes a moment, and writes down when it was asked whom for.
$user = preg_replace('/[^a-z0-9]/', '', $_COOKIE['session'] ?? '');
file_put_contents(getenv('ASKED'), sprintf("%.6f %s\n", microtime(true), $user), FILE_APPEND | LOCK_EX);
usleep(5000);
header('X-SSE-User: ' . $user);
