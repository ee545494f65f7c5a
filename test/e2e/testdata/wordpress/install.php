<?php
// Installs WordPress, the theme, the plugin and two pages with its block.
define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] = parse_url(getenv('SITE_URL'), PHP_URL_HOST) . ':' . parse_url(getenv('SITE_URL'), PHP_URL_PORT);
require __DIR__ . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/plugin.php';
wp_install('Test', 'admin', 'admin@example.com', true, '', 'a-password-of-a-test');
switch_theme('test');
$problem = activate_plugin('sse-push/sse-push.php');
if (is_wp_error($problem)) {
    exit($problem->get_error_message());
}
foreach (['news' => '<!-- wp:sse-push/events {"empty":"No news yet."} /-->', 'notices' => '<!-- wp:sse-push/events {"event":"notice","field":"text"} /-->'] as $name => $content) {
    wp_insert_post(['post_type' => 'page', 'post_status' => 'publish', 'post_name' => $name, 'post_title' => $name, 'post_content' => $content]);
}
echo 'installed';
