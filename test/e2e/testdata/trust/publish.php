<?php
// Publishes by headers of its answer: many events in one, or one in each.
header('X-SSE-Publish: ' . json_encode([
    ['user' => 'u1', 'event' => 'order', 'data' => ['state' => 'gepackt, endgültig']],
    ['topic' => 'room', 'data' => "two\nlines"],
]));
header('X-SSE-Publish: ' . http_build_query(['users' => ['u1', 'u2'], 'data' => 'a form']), false);
echo 'saved';
