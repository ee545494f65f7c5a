<?php
// What `upstream` asks: the stream of a user, and what it begins with.
header('X-SSE-Hold: stream');
header('X-SSE-User: ' . $_GET['user']);
header('X-SSE-Topics: ["room"]');
echo "event: seen\ndata: ";
require 'seen.php';
echo "\n\n";
