<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

if (!defined('ABSPATH')) {
    exit;
}

/**
 * The settings. Constants of wp-config.php (SSE_PUSH_URL, SSE_PUSH_TOKEN, SSE_PUSH_TICKET_SECRET) come before what the page says, so
 * that secrets need not be in the database.
 *
 * @return array{url: string, token: string, ticket_secret: string, path: string, posts: bool}
 */
function sse_push_settings(): array
{
    $stored = get_option('sse_push', []);
    $stored = is_array($stored) ? $stored : [];
    return [
        'url' => defined('SSE_PUSH_URL') ? SSE_PUSH_URL : ($stored['url'] ?? 'http://localhost:8080/_sse'),
        'token' => defined('SSE_PUSH_TOKEN') ? SSE_PUSH_TOKEN : ($stored['token'] ?? ''),
        'ticket_secret' => defined('SSE_PUSH_TICKET_SECRET') ? SSE_PUSH_TICKET_SECRET : ($stored['ticket_secret'] ?? ''),
        'path' => $stored['path'] ?? '/events',
        'posts' => (bool) ($stored['posts'] ?? true),
    ];
}

/** @internal What the settings page sends, checked. */
function sse_push_check_settings(mixed $given): array
{
    $given = is_array($given) ? $given : [];
    $text = static fn (string $name): string => trim(is_string($given[$name] ?? null) ? wp_unslash($given[$name]) : '');
    $kept = sse_push_settings();
    $checked = ['posts' => !empty($given['posts'])];

    $checked['url'] = $text('url');
    if (!preg_match('#^(https?://[^/]+|unix:///[^:]+:)/#', $checked['url'])) {
        add_settings_error('sse_push', 'url', __('Internal route: must be a URL such as http://localhost:8080/_sse.', 'sse-push'));
        $checked['url'] = $kept['url'];
    }
    $checked['path'] = $text('path');
    if (!str_starts_with($checked['path'], '/') || str_contains($checked['path'], '?')) {
        add_settings_error('sse_push', 'path', __('Subscribe path: must begin with a slash, such as /events.', 'sse-push'));
        $checked['path'] = $kept['path'];
    }
    // A secret is never shown again: an empty field keeps it.
    foreach (['token', 'ticket_secret'] as $secret) {
        $checked[$secret] = $text($secret) !== '' ? $text($secret) : (empty($given["forget_$secret"]) ? $kept[$secret] : '');
    }
    if ($checked['ticket_secret'] !== '' && strlen($checked['ticket_secret']) < 32) {
        add_settings_error('sse_push', 'ticket_secret', __('Ticket secret: must have at least 32 bytes.', 'sse-push'));
        $checked['ticket_secret'] = $kept['ticket_secret'];
    }
    return $checked;
}

add_action('admin_init', static function (): void {
    register_setting('sse_push', 'sse_push', ['type' => 'array', 'sanitize_callback' => 'sse_push_check_settings']);
    add_settings_section('sse_push', '', '__return_null', 'sse_push');
    $field = static function (string $name, string $label, string $type, string $help): void {
        add_settings_field("sse_push_$name", $label, static function () use ($name, $type, $help): void {
            $settings = sse_push_settings();
            $constant = 'SSE_PUSH_' . strtoupper($name);
            if ($type === 'checkbox') {
                printf('<input type="checkbox" id="sse_push_%1$s" name="sse_push[%1$s]" value="1" %2$s>', esc_attr($name), checked($settings[$name], true, false));
            } elseif (defined($constant)) {
                printf('<code>%s</code> %s', esc_html($constant), esc_html__('of wp-config.php', 'sse-push'));
            } else {
                printf(
                    '<input type="%1$s" class="regular-text" id="sse_push_%2$s" name="sse_push[%2$s]" value="%3$s" placeholder="%4$s" autocomplete="off">',
                    esc_attr($type),
                    esc_attr($name),
                    esc_attr($type === 'password' ? '' : $settings[$name]),
                    esc_attr($type === 'password' && $settings[$name] !== '' ? __('(kept)', 'sse-push') : ''),
                );
                if ($type === 'password' && $settings[$name] !== '') {
                    printf(' <label><input type="checkbox" name="sse_push[forget_%s]" value="1"> %s</label>', esc_attr($name), esc_html__('Remove', 'sse-push'));
                }
            }
            printf('<p class="description">%s</p>', esc_html($help));
        }, 'sse_push', 'sse_push', ['label_for' => "sse_push_$name"]);
    };
    $field('url', __('Internal route', 'sse-push'), 'text', __('Where this site publishes: the prefix of internal in the Caddyfile.', 'sse-push'));
    $field('token', __('Token', 'sse-push'), 'password', __('If the internal route asks for one.', 'sse-push'));
    $field('path', __('Subscribe path', 'sse-push'), 'text', __('Where pages hold their streams.', 'sse-push'));
    $field('ticket_secret', __('Ticket secret', 'sse-push'), 'password', __('The secret of "user ticket": with it, users who are logged in hear what is sent to them.', 'sse-push'));
    $field('posts', __('New posts', 'sse-push'), 'checkbox', __('Publish each new post to public/news, as the event "post".', 'sse-push'));
});

add_action('admin_menu', static function (): void {
    add_options_page('SSE Push', 'SSE Push', 'manage_options', 'sse_push', static function (): void {
        echo '<div class="wrap"><h1>SSE Push</h1>';
        sse_push_configure();
        $position = SsePush::position();
        printf(
            '<div class="notice notice-%s inline"><p>%s</p></div>',
            $position === null ? 'error' : 'success',
            $position === null
                ? esc_html__('The internal route does not answer. The log of PHP says why.', 'sse-push')
                : esc_html__('The internal route answers.', 'sse-push'),
        );
        echo '<form method="post" action="options.php">';
        settings_fields('sse_push');
        do_settings_sections('sse_push');
        submit_button();
        echo '</form></div>';
    });
});
