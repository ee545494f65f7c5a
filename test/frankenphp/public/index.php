<?php
// The app that test/frankenphp.sh tries. It is started for each request in classic mode, and once for many in worker mode.

$worker = isset($_SERVER['FRANKENPHP_WORKER']); // which it is not while a request is answered
$answer = static function () use ($worker): void {
    $path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
    switch ($path) {
        case '/login':
            session_start();
            $_SESSION['user'] = $_GET['user'];
            session_write_close();
            return;
        case '/whoami':
        case '/whoami.php':
            session_start(['read_and_close' => true]);
            isset($_SESSION['user']) ? header('X-SSE-User: ' . $_SESSION['user']) : http_response_code(401);
            return;
        case '/save': // publishes by its answer
            header('X-SSE-Publish: ' . http_build_query(['topic' => 'users/ann', 'data' => 'by header']));
            return;
        case '/call': // publishes by a request
            echo file_get_contents($_GET['url'], false, stream_context_create(['http' => ['method' => 'POST', 'ignore_errors' => true,
                'header' => 'Content-Type: application/json', 'content' => json_encode(['topic' => 'users/ann', 'data' => 'by call'])]]));
            return;
        case '/symfony':
            set_include_path('/usr/share/php');
            require_once 'Symfony/Component/Mercure/autoload.php';
            $token = new Symfony\Component\Mercure\Jwt\StaticTokenProvider($_GET['token']);
            $hub = new Symfony\Component\Mercure\Hub($_GET['url'], $token);
            echo $hub->publish(new Symfony\Component\Mercure\Update('https://example.com/books/1', 'by Symfony'));
            return;
        case '/own': // publishes to FrankenPHP's own hub
            echo mercure_publish('https://example.com/books/1', 'by mercure_publish');
            return;
        case '/hold': // what `upstream` asks
            header('X-SSE-Hold: stream');
            header('X-SSE-User: ann');
            header('X-SSE-Topics: ["users/ann"]');
            echo "data: first\n\n";
            return;
        case '/loop':
            header('Content-Type: text/event-stream');
            for ($i = 0; $i < 500 && !connection_aborted(); $i++) {
                echo "data: tick $i\n\n";
                flush();
                usleep(100000);
            }
            return;
    }
    echo $worker ? 'a worker' : 'a script';
};

if ($worker) {
    while (frankenphp_handle_request($answer)) {
        gc_collect_cycles();
    }
} else {
    $answer();
}
