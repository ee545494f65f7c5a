// SPDX-License-Identifier: Apache-2.0
// The page's side of the chat: plain EventSource, and fetch to say something. Nothing is polled.
'use strict';

const me = document.body.dataset.user;
const $ = (id) => document.getElementById(id);

let source;
let connection = ''; // the id of this tab's stream
let last = '';       // the id of the event that came last
let users = null;    // a Set of who is here, null before that is known
let news = null;     // while it is asked for: who has come and gone meanwhile

// Opens the stream at the URL that the app gives, from the beginning or after the last event.
function open(url, after = '') {
	source?.close();
	if (!after) {
		$('log').replaceChildren();
		users = null;
	}
	source = new EventSource(url + (after && '&last_event_id=' + encodeURIComponent(after)));
	const on = (name, fn) => source.addEventListener(name, (event) => {
		last = event.lastEventId || last;
		fn(JSON.parse(event.data));
	});

	// Comes first after each connect, so after a reconnect with a new id as well.
	on('sse:connected', async (said) => {
		connection = said.connection;
		$('state').textContent = 'Connected';
		const heard = news = new Map();
		const list = await post({ action: 'who' });
		if (heard !== news) return; // connected once more by now
		news = null;
		const known = list ? list.users : users;
		if (known) show(among(known, heard));
	});
	// The proxy says who comes and goes: users, not tabs, and nobody who only reloads.
	on('sse:presence', ({ user, state }) => {
		if (news) news.set(user, state);
		else if (users) show(among(users, [[user, state]]));
	});
	on('chat', ({ from, text }) => line(from, text));
	on('private', ({ from, to, text }) => line(from === me ? `to ${to}` : `${from}, to you`, text, 'private'));
	on('answer', ({ question, text }) => line(question, text, 'answer'));

	on('sse:expiring', renew);
	// What was missed while away comes by itself; what the proxy no longer has is said.
	on('sse:gap', () => line('', 'Some messages are missing here.', 'note'));
	on('sse:rejected', ({ reason }) => $('state').textContent = `Refused for now: ${reason}`);
	// EventSource reconnects by itself unless the server refuses it: then it is closed.
	source.onerror = () => {
		const refused = source.readyState === EventSource.CLOSED;
		$('state').textContent = refused ? 'Refused' : 'Reconnecting …';
		if (refused) setTimeout(renew, 1000);
	};
}

// The grant of this page ends soon, or has ended. With a new one from the app the stream goes on, and nothing is missed; a user who
// has signed out in another tab gets to the login. (clients/js/sse-push.js does all this.)
async function renew() {
	const renewed = await post({ action: 'renew' });
	if (renewed) open(renewed.stream, last);
	else if (source.readyState === EventSource.CLOSED) setTimeout(renew, 5000);
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

function among(names, changes) {
	const now = new Set(names);
	for (const [name, state] of changes) {
		if (state === 'join') now.add(name);
		else now.delete(name);
	}
	return now;
}

function show(now) {
	const others = [...now].filter((name) => name !== me).sort();
	if (users) { // not for the first list: everybody on it was there before
		for (const name of others) if (!users.has(name)) line('', `${name} is here.`, 'note');
		for (const name of users) if (!now.has(name) && name !== me) line('', `${name} has left.`, 'note');
	}
	users = now;

	$('users').replaceChildren(...[...now].sort().map((name) => {
		const item = document.createElement('li');
		item.textContent = name;
		return item;
	}));
	const to = $('say').elements.to;
	const chosen = to.value;
	// A user who was chosen stays chosen after leaving: the next message must not go to everybody instead.
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

addEventListener('pagehide', () => source.close());
addEventListener('pageshow', (event) => {
	if (event.persisted) location.reload(); // back from the back/forward cache: signed out meanwhile, or its ticket too old
});

open(document.body.dataset.stream);
