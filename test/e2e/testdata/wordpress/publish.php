<?php
// Does what plugins and writers do: publish.php post <title>, publish.php notice <user> <text>.
$_SERVER['HTTP_HOST'] = parse_url(getenv('SITE_URL'), PHP_URL_HOST) . ':' . parse_url(getenv('SITE_URL'), PHP_URL_PORT);
require __DIR__ . '/wp-load.php';
echo match ($argv[1]) {
    'post' => wp_insert_post(['post_type' => 'post', 'post_status' => 'publish', 'post_title' => $argv[2], 'post_content' => 'A post.']) > 0 ? 'done' : 'failed',
    'notice' => sse_push_send('notice', ['text' => $argv[3]], (int) $argv[2]) ? 'done' : 'failed',
};
