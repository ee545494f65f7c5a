<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

namespace SsePush\Laravel;

use Illuminate\Broadcasting\BroadcastManager;
use Illuminate\Contracts\Cache\Repository;
use Illuminate\Contracts\Container\Container;
use Illuminate\Support\ServiceProvider;
use SsePush;

/**
 * Registers the broadcast driver `sse_push`. A connection in config/broadcasting.php:
 *
 *     'sse_push' => [
 *         'driver' => 'sse_push',
 *         'url' => env('SSE_PUSH_URL'),     // the internal route, such as http://127.0.0.1:9090/_sse
 *         'token' => env('SSE_PUSH_TOKEN'), // its token, if it has one
 *         'timeout' => 2,                   // seconds that a call may last
 *         'path' => '/events',              // the subscribe path, to which pages whisper; null: no whispers
 *     ],
 */
final class SsePushServiceProvider extends ServiceProvider
{
    public function boot(): void
    {
        $this->app->make(BroadcastManager::class)->extend('sse_push', static function (Container $app, array $config): SsePushBroadcaster {
            SsePush::configure(url: $config['url'] ?? null, token: $config['token'] ?? null, timeout: $config['timeout'] ?? null);
            return new SsePushBroadcaster(new Members($app->make(Repository::class)));
        });
        $path = $this->app['config']->get('broadcasting.connections.sse_push.path', '/events');
        if ($path !== null) {
            $this->app['router']->post(rtrim($path, '/') . '/{connection}', WhisperController::class)->middleware('web');
        }
    }
}
