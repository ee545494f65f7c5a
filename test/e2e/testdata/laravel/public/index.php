<?php
// A Laravel app of one file, for the framework as Debian packages it: a login, a page with Echo, channels, and an event.
declare(strict_types=1);

use App\Events\OrderShipped;
use Illuminate\Auth\GenericUser;
use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Contracts\Http\Kernel;
use Illuminate\Foundation\Application;
use Illuminate\Foundation\Exceptions\Handler;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Auth;
use Illuminate\Support\Facades\Broadcast;
use Illuminate\Support\Facades\Route;

require 'Illuminate/autoload.php';
$clients = getenv('CLIENTS_PHP') ?: ($_SERVER['CLIENTS_PHP'] ?? '');
require "$clients/SsePush.php";
spl_autoload_register(static function (string $class) use ($clients): void {
    if (str_starts_with($class, 'SsePush\\Laravel\\')) {
        require "$clients/laravel/src/" . substr($class, 16) . '.php';
    }
});

require __DIR__ . '/../classes.php';

$app = new Application(dirname(__DIR__));
$app->singleton(Kernel::class, App\Http\Kernel::class);
$app->singleton(ExceptionHandler::class, Handler::class);
$app->booted(static function (): void {
    Auth::viaRequest('names', static fn (Request $request) => $request->hasSession() && $request->session()->has('name')
        ? new GenericUser(['id' => $request->session()->get('name')]) : null);
    Broadcast::routes();
    Broadcast::channel('orders.{order}', static fn ($user, $order) => $user->id !== 'eve');
    Broadcast::channel('room', static fn ($user) => $user->id === 'eve' ? false : ['name' => ucfirst($user->id)]);
    Route::middleware('web')->group(static function (): void {
        Route::get('/login/{name}', static function (Request $request, string $name) {
            $request->session()->put('name', $name);
            return redirect('/');
        });
        Route::get('/whoami', static fn () => response('')->header('X-SSE-User', Auth::user()?->id ?? ''));
        Route::post('/ship/{order}', static function (int $order) {
            broadcast(new OrderShipped($order))->toOthers();
            return response('', 204);
        });
        Route::get('/', static fn () => str_replace('TOKEN', csrf_token(), file_get_contents(__DIR__ . '/page.html')));
    });
});
$kernel = $app->make(Kernel::class);
$response = $kernel->handle($request = Request::capture());
$response->send();
$kernel->terminate($request, $response);
