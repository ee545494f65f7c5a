<?php
// Publishes an update with Symfony's client, as Debian packages it: mercure.php <hub URL> <token> <JSON of the update>. It writes the
// answer of the hub.

use Symfony\Component\Mercure\Hub;
use Symfony\Component\Mercure\Jwt\StaticTokenProvider;
use Symfony\Component\Mercure\Update;

require 'Symfony/Component/Mercure/autoload.php';

[, $url, $token, $json] = $argv;
$u = json_decode($json, true, 8, JSON_THROW_ON_ERROR);
$hub = new Hub($url, new StaticTokenProvider($token));
echo $hub->publish(new Update($u['topics'], $u['data'] ?? '', $u['private'] ?? false, $u['id'] ?? null, $u['type'] ?? null, $u['retry'] ?? null));
