<?php
// What Composer and the recipes of symfony/skeleton and symfony/mercure-bundle make, for the framework as Debian packages it.
declare(strict_types=1);

use Symfony\Component\Dotenv\Dotenv;
use Symfony\Component\HttpFoundation\Request;

require 'Symfony/Bundle/FrameworkBundle/autoload.php';
require 'Symfony/Component/Dotenv/autoload.php';
require 'Symfony/Component/Mercure/autoload.php';
require getenv('CLIENTS_PHP') . '/SsePush.php';
class_alias(Symfony\Component\Routing\Annotation\Route::class, 'Symfony\Component\Routing\Attribute\Route'); // since 6.4
require dirname(__DIR__) . '/src/Kernel.php';
require dirname(__DIR__) . '/src/Controller/OrderController.php';

(new Dotenv())->loadEnv(dirname(__DIR__) . '/.env');
$kernel = new App\Kernel('dev', true);
$response = $kernel->handle($request = Request::createFromGlobals());
$response->send();
$kernel->terminate($request, $response);
