<?php
/**
 * Plugin Name:       SSE Push
 * Description:       Live events in pages and posts, pushed by Caddy's sse_push module. Visitors hold no PHP worker.
 * Version:           0.1.0
 * Requires at least: 6.1
 * Requires PHP:      8.1
 * License:           Apache-2.0
 * License URI:       https://www.apache.org/licenses/LICENSE-2.0
 * Text Domain:       sse-push
 *
 * SPDX-License-Identifier: Apache-2.0
 */

declare(strict_types=1);

if (!defined('ABSPATH')) {
    exit;
}

require_once __DIR__ . '/SsePush.php'; // a copy of clients/php/SsePush.php
require_once __DIR__ . '/settings.php';

/**
 * Publishes an event.
 *
 * @param string          $event The event's name, such as "order".
 * @param mixed           $data  What is sent: a text as it is, anything else as JSON.
 * @param string|int|null $to    A topic, such as "public/news" (the default), or a user's id.
 * @return bool Whether it was published. If not, PHP's log says why.
 */
function sse_push_send(string $event, mixed $data, string|int|null $to = null): bool
{
    sse_push_configure();
    $publish = is_int($to) ? SsePush::user($to) : SsePush::topic($to ?? 'public/news');
    return $publish->send($event, $data)->ok;
}

/** @internal Gives the settings to the client. */
function sse_push_configure(): void
{
    $settings = sse_push_settings();
    SsePush::configure(
        url: $settings['url'],
        token: $settings['token'],
        ticketSecret: $settings['ticket_secret'],
        timeout: 1.0,
        onError: static fn (SsePushResult $result) => error_log("sse_push: $result"),
    );
}

/**
 * The URL at which the visitor's pages subscribe. For a user who is logged in it has a ticket, if there is a secret to sign it.
 *
 * @param string[] $topics
 */
function sse_push_stream_url(array $topics): string
{
    $settings = sse_push_settings();
    $query = array_map(static fn (string $topic): string => 'topic=' . rawurlencode($topic), $topics);
    $user = get_current_user_id();
    if ($user !== 0 && $settings['ticket_secret'] !== '') {
        sse_push_configure();
        $ticket = SsePush::ticket($user);
        if ($ticket !== null) {
            $query[] = 'ticket=' . rawurlencode($ticket);
        }
    }
    return $settings['path'] . ($query === [] ? '' : '?' . implode('&', $query));
}

add_action('init', static function (): void {
    register_block_type(__DIR__ . '/blocks/events', ['render_callback' => 'sse_push_render_events']);
});

/**
 * @internal Renders the block: a list, which the script fills.
 *
 * @param array{topic?: string, event?: string, field?: string, most?: int, empty?: string} $attributes
 */
function sse_push_render_events(array $attributes): string
{
    $topic = $attributes['topic'] ?? 'public/news';
    return sprintf(
        '<ul %s data-url="%s" data-event="%s" data-field="%s" data-most="%d" aria-live="polite"><li class="empty">%s</li></ul>',
        get_block_wrapper_attributes(),
        esc_attr(sse_push_stream_url([$topic])),
        esc_attr($attributes['event'] ?? 'post'),
        esc_attr($attributes['field'] ?? 'title'),
        max(1, (int) ($attributes['most'] ?? 10)),
        esc_html($attributes['empty'] ?? __('Nothing yet.', 'sse-push')),
    );
}

// A post that becomes public is an event of public/news, if the settings say so.
add_action('transition_post_status', static function (string $new, string $old, WP_Post $post): void {
    if ($new === 'publish' && $old !== 'publish' && $post->post_type === 'post' && $post->post_password === '' && sse_push_settings()['posts']) {
        sse_push_send('post', ['id' => $post->ID, 'title' => html_entity_decode(get_the_title($post)), 'url' => get_permalink($post)]);
    }
}, 10, 3);
