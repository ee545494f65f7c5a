<?php
// SPDX-License-Identifier: Apache-2.0
// The page, for index.php: $me or null, $stream, $problem, and $html to escape.
?>
<!doctype html>
<html lang="en">
<head>
	<meta charset="utf-8">
	<meta name="viewport" content="width=device-width">
	<title>Chat</title>
	<link rel="icon" href="data:,">
	<link rel="stylesheet" href="chat.css">
<?php if ($me !== null): ?>
	<script src="chat.js" defer></script>
<?php endif ?>
</head>
<?php if ($me === null): ?>
<body>
	<main class="enter">
		<h1>Chat</h1>
		<form method="post">
			<input type="hidden" name="action" value="enter">
			<label>Your name <input name="name" required maxlength="32" autofocus autocomplete="username"></label>
			<label>Password <input name="password" type="password" required autocomplete="current-password"></label>
			<button>Enter</button>
			<p class="problem" role="alert"><?= $html($problem) ?></p>
		</form>
		<p class="hint">An example: any name will do, and the password is <code><?= $html(PASSWORD) ?></code> for all of them.</p>
	</main>
</body>
<?php else: ?>
<body data-user="<?= $html($me) ?>" data-stream="<?= $html($stream) ?>">
	<header>
		<h1>Chat</h1>
		<span id="state" role="status">Connecting …</span>
		<form method="post" id="leave">
			<input type="hidden" name="action" value="leave">
			<b><?= $html($me) ?></b>
			<button>Leave</button>
		</form>
	</header>
	<main>
		<div class="log" role="log" aria-label="Messages" tabindex="0"><ol id="log"></ol></div>
		<aside>
			<h2>Here now</h2>
			<ul id="users"></ul>
			<button id="ask">Ask the server, for this tab only</button>
		</aside>
	</main>
	<form id="say" aria-label="Say something">
		<select name="to" aria-label="To"><option value="">everybody</option></select>
		<input name="text" required maxlength="1000" autocomplete="off" autofocus aria-label="Message" placeholder="Message">
		<button>Send</button>
	</form>
</body>
<?php endif ?>
</html>
