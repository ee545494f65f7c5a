<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

// A stand-in for Laravel's front controller: every path that is no file comes here.

require __DIR__ . '/../../bootstrap.php';

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);

if ($_SERVER['REQUEST_METHOD'] === 'POST' && $path === '/orders') {
    if (!same_origin()) {
        http_response_code(403);
        exit;
    }
    $result = SsePush::user($_POST['user'] ?? null)->send('order', ['id' => random_int(1, 999)]);
    http_response_code($result->ok ? 202 : 502);
    header('Content-Type: application/json');
    exit(json_encode(['id' => $result->id, 'error' => $result->error]));
}
if ($path !== '/') {
    http_response_code(404);
    exit('no route for ' . htmlspecialchars((string) $path));
}
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Laravel's place</title>
<link rel="icon" href="data:,">
<h1>Orders of u1</h1>
<form><button>Order something</button></form>
<ol></ol>
<script>
	new EventSource('/events?userId=u1').addEventListener('order', (event) => {
		const item = document.createElement('li');
		item.textContent = `order ${JSON.parse(event.data).id}, event ${event.lastEventId}`;
		document.querySelector('ol').append(item);
	});
	document.querySelector('form').addEventListener('submit', (event) => {
		event.preventDefault();
		fetch('/orders', { method: 'POST', body: new URLSearchParams({ user: 'u1' }) });
	});
</script>
</html>
