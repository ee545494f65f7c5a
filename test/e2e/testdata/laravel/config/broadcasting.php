<?php
return [
    'default' => 'sse_push',
    'connections' => [
        'sse_push' => ['driver' => 'sse_push', 'url' => env('SSE_PUSH_URL'), 'token' => env('SSE_PUSH_TOKEN'), 'path' => '/events'],
    ],
];
