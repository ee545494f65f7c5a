<?php
declare(strict_types=1);

namespace App;

use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\HttpKernel\Kernel as BaseKernel;
use Symfony\Component\Mercure\Hub;
use Symfony\Component\Mercure\HubInterface;
use Symfony\Component\Mercure\Jwt\CallableTokenProvider;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

class Kernel extends BaseKernel
{
    use MicroKernelTrait;

    public function registerBundles(): iterable
    {
        return [new FrameworkBundle()];
    }

    protected function configureContainer(ContainerConfigurator $container): void
    {
        $container->extension('framework', ['secret' => 'test', 'http_method_override' => false]);
        $services = $container->services()->defaults()->autowire()->autoconfigure();
        $services->load('App\\Controller\\', 'Controller/*')->tag('controller.service_arguments');
        $services->set(HubInterface::class, Hub::class)->factory([self::class, 'hub']);
    }

    protected function configureRoutes(RoutingConfigurator $routes): void
    {
        $routes->import('Controller/*.php', 'annotation');
    }

    public static function hub(): Hub
    {
        return new Hub($_SERVER['MERCURE_URL'], new CallableTokenProvider(static function (): string {
            $encode = static fn (string $s): string => rtrim(strtr(base64_encode($s), '+/', '-_'), '=');
            $signed = $encode('{"alg":"HS256","typ":"JWT"}') . '.' . $encode('{"mercure":{"publish":["*"]}}');
            return "$signed." . $encode(hash_hmac('sha256', $signed, $_SERVER['MERCURE_JWT_SECRET'], true));
        }));
    }
}
