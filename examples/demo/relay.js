// The third way: Caddy fetches the answer of a model, and keeps it for the pages that may hear it.

import { $, api, say } from './page.js';

const MODEL = 'http://127.0.0.1:9100/v1/chat/completions';
const STORE = 'sse-push-demo-relay'; // this tab's, so that a reload goes on with it

const request = (question) => ({ url: MODEL, body: { model: 'stand-in', stream: true, messages: [{ role: 'user', content: question }] } });

let user, push;
let relay; // the one that is heard

// relayFor has relays belong to a user, who hears them with a client of their own.
export function relayFor(name, client) {
	relay?.close();
	relay = undefined;
	[user, push] = [name, client];
	showCommands();
	const { owner, id } = JSON.parse(sessionStorage.getItem(STORE) ?? '{}');
	show(owner === user && id);
	if (owner === user) hear(id);
}

function show(heard) {
	$('tokens').hidden = !heard;
	$('tokens').textContent = '';
	stoppable(false);
	say($('relayed'), true, '');
}

function stoppable(running) {
	if (!running && document.activeElement === $('stop')) $('ask').querySelector('.primary').focus();
	$('stop').hidden = !running;
}

async function hear(id) {
	relay?.close();
	const own = relay = push.relay(id);
	show(true);
	stoppable(true);
	say($('relayed'), true, 'Answering …');
	for await (const { type, data } of own) {
		if (own !== relay) return;
		if (type === 'sse:gap') $('tokens').append(' […] ');
		else if (data !== '[DONE]') $('tokens').append(JSON.parse(data).choices?.[0]?.delta.content ?? '');
		$('tokens').scrollTop = $('tokens').scrollHeight;
	}
	if (own !== relay) return;
	stoppable(false);
	if (!own.end) { // after a restart of Caddy
		sessionStorage.removeItem(STORE);
		return show(false);
	}
	const { status, events } = own.end;
	const more = status === 'failed' ? ': the model does not answer. `make run` starts a stand-in for one.' : events ? `: ${events} events` : '';
	say($('relayed'), status === 'complete' || status === 'cancelled', status + more);
}

$('ask').addEventListener('submit', async (event) => {
	event.preventDefault();
	try {
		const { id } = await api('POST', 'relays', { user, request: request(event.target.elements.question.value) });
		sessionStorage.setItem(STORE, JSON.stringify({ owner: user, id }));
		await hear(id);
	} catch (error) {
		say($('relayed'), false, error.message);
	}
});

$('stop').addEventListener('click', () => {
	const { id } = JSON.parse(sessionStorage.getItem(STORE));
	api('DELETE', 'relays/' + id).catch((error) => say($('relayed'), false, error.message));
});

$('ask').addEventListener('input', showCommands);

function showCommands() {
	const body = JSON.stringify({ user, request: request($('ask').elements.question.value) }).replaceAll("'", `'\\''`);
	$('curl-relay').textContent = `id=$(date +%s)
curl ${location.origin}/_sse/relays \\
  -d '{"id":"'$id'",${body.slice(1)}'
curl -N "${location.origin}/events?userId=${encodeURIComponent(user)}&relay=$id"`;
}
