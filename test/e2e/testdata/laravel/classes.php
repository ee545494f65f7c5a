<?php
declare(strict_types=1);

namespace App\Events {
    use Illuminate\Broadcasting\Channel;
    use Illuminate\Broadcasting\InteractsWithSockets;
    use Illuminate\Broadcasting\PrivateChannel;
    use Illuminate\Contracts\Broadcasting\ShouldBroadcastNow;

    class OrderShipped implements ShouldBroadcastNow
    {
        use InteractsWithSockets;

        public function __construct(public int $order)
        {
        }

        public function broadcastOn(): array
        {
            return [new PrivateChannel("orders.$this->order"), new Channel('news')];
        }
    }
}

namespace App\Http {
    class Kernel extends \Illuminate\Foundation\Http\Kernel
    {
        protected $middlewareGroups = ['web' => [
            \Illuminate\Cookie\Middleware\EncryptCookies::class,
            \Illuminate\Cookie\Middleware\AddQueuedCookiesToResponse::class,
            \Illuminate\Session\Middleware\StartSession::class,
            \Illuminate\Foundation\Http\Middleware\VerifyCsrfToken::class,
            \Illuminate\Routing\Middleware\SubstituteBindings::class,
        ]];
    }
}
