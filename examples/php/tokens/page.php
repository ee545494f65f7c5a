<?php
// SPDX-License-Identifier: Apache-2.0
// The page, for index.php: $turns.
$html = static fn (string $text): string => htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE);
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Answers of a model, through PHP</title>
<link rel="icon" href="data:,">
<style>
	:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
	body { background: canvas; color: canvastext; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
	.quiet, .turn::after { color: light-dark(#5c6474, #a0a8b8); }
	.ask { display: flex; gap: .5rem; margin: 1.5rem 0; }
	.ask input { flex: 1; min-width: 0; }
	input, button { font: inherit; padding: .4rem .7rem; }
	.turn { border: 1px solid #8884; border-radius: .5rem; padding: .75rem 1rem; margin: 1rem 0; overflow-wrap: anywhere; }
	.turn::after { content: attr(data-status); font-size: .875rem; }
	.turn p { margin: 0 0 .5rem; white-space: pre-wrap; }
	.question { font-weight: 600; }
	.turn[data-status=running] .answer::after { content: '▍'; }
	.turn form { float: right; }
	.turn:not([data-status=running]) form { display: none; }
</style>
<main>
<h1>Answers of a model, through PHP</h1>
<p>Busy workers of PHP: <output aria-live="off" id="workers">…</output></p>
<p class="quiet">While an answer streams, reload this page, open it in a second tab, stop the answer from there. Close all tabs and
	come back: the answer goes on without them, and PHP is told of its end.</p>
<form method="post" class="ask">
	<input type="hidden" name="action" value="ask">
	<input name="question" required maxlength="1000" autocomplete="off" autofocus aria-label="Question" placeholder="Ask something">
	<button>Ask</button>
</form>
<?php foreach (array_reverse($turns) as $id => $turn): ?>
<section class="turn" id="<?= $html($id) ?>" data-status="<?= $html($turn['status']) ?>">
	<form method="post">
		<input type="hidden" name="action" value="stop">
		<input type="hidden" name="id" value="<?= $html($id) ?>">
		<button>Stop</button>
	</form>
	<p class="question"><?= $html($turn['question']) ?></p>
	<p class="answer"><?= $html($turn['answer']) ?></p>
</section>
<?php endforeach ?>
</main>
<script>
	for (const turn of document.querySelectorAll('[data-status=running]')) {
		const answer = turn.querySelector('.answer');
		const stream = new EventSource('events?relay=' + turn.id); // from the first token, whenever that was
		stream.onmessage = ({ data }) => {
			if (data !== '[DONE]') answer.append(JSON.parse(data).choices?.[0]?.delta.content ?? '');
		};
		stream.addEventListener('sse:gap', () => answer.append(' […] ')); // what the proxy no longer has
		stream.addEventListener('sse:end', ({ data }) => {
			turn.dataset.status = JSON.parse(data).status;
			stream.close();
		});
		// EventSource reconnects by itself, unless the server refuses.
		stream.onerror = () => {
			if (stream.readyState === EventSource.CLOSED) turn.dataset.status = 'not to be had at the moment; reload the page';
		};
	}

	const workers = document.getElementById('workers');
	const count = async () => {
		try {
			const status = await (await fetch('workers')).json();
			workers.textContent = `${status['active processes']} of ${status['total processes']}`;
		} catch {
			workers.textContent = 'php-fpm does not answer';
		}
		setTimeout(count, 1000);
	};
	count();
</script>
</html>
