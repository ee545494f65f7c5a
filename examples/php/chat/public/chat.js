// SPDX-License-Identifier: Apache-2.0
// The page's side of the chat: plain EventSource, and fetch to say something. Nothing is polled.
'use strict';

const me = document.body.dataset.user;
const $ = (id) => document.getElementById(id);

let source;
let connection = ''; // the id of this tab's stream
let presenceAt = 0;  // when the newest list of users was made
let users = null;    // the others of that list

function open() {
	$('log').replaceChildren();
	users = null;

	// ANY PAGE COULD CLAIM ANY NAME HERE: `user query userId` believes what the URL says, and is for trying things out. In
	// production let the app say who it is: in front of sse_push, `forward_auth` to a PHP page that reads the session
	// and sets X-User-ID (`copy_headers X-User-ID`), and `user {http.request.header.X-User-ID}` instead of `user query userId`.
	// Then the URL has no name in it.
	source = new EventSource('/events?userId=' + encodeURIComponent(me) + '&topic=room&replay=50');

	// Comes first after each connect, so after a reconnect with a new id as well.
	source.addEventListener('sse:connected', (event) => {
		connection = JSON.parse(event.data).connection;
		$('leave').elements.connection.value = connection;
		$('state').textContent = 'Connected';
		post({ action: 'here' });
	});
	source.addEventListener('chat', (event) => {
		const { from, text } = JSON.parse(event.data);
		line(from, text);
	});
	source.addEventListener('private', (event) => {
		const { from, to, text } = JSON.parse(event.data);
		line(from === me ? `to ${to}` : `${from}, to you`, text, 'private');
	});
	source.addEventListener('answer', (event) => {
		const { question, text } = JSON.parse(event.data);
		line(question, text, 'answer');
	});
	source.addEventListener('presence', (event) => presence(JSON.parse(event.data)));

	// What was missed while away comes by itself; what the proxy no longer has is said.
	source.addEventListener('sse:gap', () => line('', 'Some messages are missing here.', 'note'));
	source.addEventListener('sse:rejected', (event) => {
		$('state').textContent = 'Refused for now: ' + JSON.parse(event.data).reason;
	});
	// EventSource reconnects by itself unless the server refuses; clients/js/sse-push.js goes on then, too.
	source.onerror = () => {
		$('state').textContent = source.readyState === EventSource.CLOSED ? 'Closed; reload the page' : 'Reconnecting …';
	};
}

function line(who, text, kind = '') {
	const item = document.createElement('li');
	item.className = kind;
	const name = document.createElement('b');
	name.textContent = who;
	item.append(...(who ? [name, ' '] : []), text); // as text: nobody's message is markup
	$('log').append(item);
	item.scrollIntoView({ block: 'nearest' });
}

function presence(list) {
	if (list.at < presenceAt) return;
	presenceAt = list.at;
	const others = list.users.filter((name) => name !== me);
	if (users) { // not for the first list: everybody on it was there before
		for (const name of others) if (!users.includes(name)) line('', `${name} is here.`, 'note');
		for (const name of users) if (!others.includes(name)) line('', `${name} has left.`, 'note');
	}
	users = others;

	$('users').replaceChildren(...list.users.map((name) => {
		const item = document.createElement('li');
		item.textContent = name;
		return item;
	}));
	const to = $('say').elements.to;
	const chosen = to.value;
	// Whoever is chosen stays so when he leaves: the next message must not go to everybody instead.
	const names = new Set([...others, ...(chosen ? [chosen] : [])]);
	to.replaceChildren(new Option('everybody', ''), ...[...names].map((name) => new Option(name, name)));
	to.value = chosen;
}

async function post(fields) {
	try {
		const response = await fetch('', { method: 'POST', body: new URLSearchParams(fields) });
		if (response.status === 401) location.reload(); // signed out in another tab
		const said = response.status === 204 ? {} : await response.json();
		if (said.error) line('', said.error, 'note');
		return response.ok ? said : null;
	} catch {
		line('', 'The server cannot be reached.', 'note');
		return null;
	}
}

$('say').addEventListener('submit', async (event) => {
	event.preventDefault();
	const { to, text } = event.target.elements;
	const said = text.value;
	text.value = '';
	const answer = await post({ action: 'say', to: to.value, text: said });
	if (!answer) text.value ||= said;
	if (answer?.online === false) line('', `${to.value} is not here, and may read it later.`, 'note');
});

$('ask').addEventListener('click', () => post({ action: 'ask', connection, question: 'What time is it?' }));

// Closed first: a stream that the server ends would be opened again by EventSource.
$('leave').addEventListener('submit', () => source.close());

addEventListener('pagehide', () => {
	source.close();
	navigator.sendBeacon('', new URLSearchParams({ action: 'gone', connection }));
});
addEventListener('pageshow', (event) => {
	if (event.persisted) open(); // back from the back/forward cache
});

open();
