import { SsePush } from '/clients/js/sse-push.js';
import { $, api, say } from './page.js';
import { relayFor } from './relay.js';
import './source.js';

const form = $('publish');
const params = new URLSearchParams(location.search);

const ROWS = 300;    // how many events the page keeps
const AWAY = 3_000;  // how long a dropped connection stays away, ms
const QUIET = 250;   // what comes after a reconnect until it is quiet for so long, ms, had been missed

let user = params.get('user') || someone();
let push;            // the client of this user
let seen = false;    // whether it was connected before, so that the next connection resumes
let dropped = false; // by the button
let catchingUp;      // a timer, while what was missed comes in
const missed = new Set(); // ids of what this page published while it was away

function someone() {
	const names = ['ann', 'ben', 'cleo', 'dan', 'eve', 'finn', 'gus', 'hana', 'ida', 'jon', 'kim', 'leo'];
	const [a, b] = crypto.getRandomValues(new Uint16Array(2));
	return `${names[a % names.length]}-${(b % 4096).toString(16).padStart(3, '0')}`;
}

// --- the connection

const words = { open: 'Connected', connecting: 'Connecting …', closed: 'Closed', dropped: 'Dropped', refused: 'Refused' };

function connect() {
	push?.close();
	seen = dropped = false;
	endCatchUp();
	push = new SsePush('/events?userId=' + encodeURIComponent(user), { topics: ['room', 'public/*'] });
	push.on('sse:state', showState);
	for (const name of ['sse:connected', 'sse:gap', 'sse:position', 'sse:rejected', 'sse:closing', ...names]) push.addEventListener(name, arrived);
	showState(push);
}

function showState({ state, status }) {
	if (state === 'closed' && dropped) state = 'dropped';
	$('state').dataset.state = state;
	$('state').textContent = words[state] + (status ? `: the server answered ${status}` : '');
	$('connection').textContent = push.connection ?? 'none';
	$('topics').textContent = (push.connection && push.topics.join(', ')) || 'none';
}

function arrived(event) {
	const own = event.type.startsWith('sse:');
	if (event.type === 'sse:connected') {
		if (seen) catchUp();
		seen = true;
		return row(event, false);
	}
	const resumed = !own && (missed.delete(event.lastEventId) || !!catchingUp);
	if (resumed && catchingUp) catchUp();
	row(event, resumed);
}

function catchUp() {
	clearTimeout(catchingUp);
	catchingUp = setTimeout(endCatchUp, QUIET);
}

function endCatchUp() {
	clearTimeout(catchingUp);
	catchingUp = undefined;
}

// --- the names to listen for, shared by all tabs

const STORE = 'sse-push-demo-names';
const names = new Set(['message', 'hello', 'hi', 'order', 'chat', 'missed']);

function listenFor(more) {
	for (const name of more) {
		if (typeof name !== 'string' || !name || names.has(name) || name.startsWith('sse:')) continue;
		names.add(name);
		push?.addEventListener(name, arrived);
	}
	$('listening').textContent = [...names].join(', ');
	$('names').replaceChildren(...[...names].map((value) => Object.assign(document.createElement('option'), { value })));
}

function stored() {
	try { return JSON.parse(localStorage.getItem(STORE)) ?? []; } catch { return []; }
}

function store(name) {
	listenFor([...stored(), name]);
	try { localStorage.setItem(STORE, JSON.stringify([...names].slice(0, 50))); } catch { /* this tab alone, then */ }
}

// --- the list

function element(tag, className, text) {
	return Object.assign(document.createElement(tag), { className, textContent: text });
}

function row({ type, lastEventId, data }, resumed) {
	const li = document.createElement('li');
	const id = ['sse:rejected', 'sse:closing'].includes(type) ? '' : lastEventId; // the server gives these none
	const name = element('span', 'type', type);
	Object.assign(li.dataset, { type, id });
	if (resumed) {
		li.dataset.resumed = 'true';
		name.append(' ', element('span', 'badge', 'resumed'));
	}
	li.append(clock(), name, element('code', 'id', id));
	if (type === 'sse:gap') li.append(element('span', 'say', sayGap(JSON.parse(data))));
	else if (type === 'sse:rejected') li.append(element('span', 'say', 'Not now. The browser comes back by itself after the time it was told.'));
	else if (type === 'sse:closing') li.append(element('span', 'say', 'The server ends this stream. The browser comes back by itself after the time it was told.'));
	li.append(element('pre', '', data));
	add(li);
}

function sayGap({ reason, delay }) {
	const why = { trimmed: 'the history no longer holds them', lost: 'the log has lost them', unknown: 'the last id is not of this log' }[reason] ?? reason;
	return `Events may be missing: ${why}. A page would now load its data afresh, after ${delay} ms so that not all pages do so at once.`;
}

function clock() {
	const now = new Date();
	return Object.assign(element('time', '', now.toTimeString().slice(0, 8) + '.' + String(now.getMilliseconds()).padStart(3, '0')), { dateTime: now.toISOString() });
}

function note(text) { add(element('li', 'note', text)); }

function add(li) {
	$('events').prepend(li);
	while ($('events').childElementCount > ROWS) $('events').lastElementChild.remove();
}

// --- publishing

function composed() {
	const { to, other, event, data } = form.elements;
	const target = { me: { user }, user: { user: other.value }, all: { broadcast: true } }[to.value];
	return { ...target, ...(event.value && { event: event.value }), data: data.value };
}

async function publish(event) {
	const { id } = await api('POST', 'publish', event);
	if (dropped) missed.add(id);
	return id;
}

async function send(event) {
	try {
		if (event.event) store(event.event);
		say($('answer'), true, `Published as ${await publish(event)}`);
	} catch (error) {
		say($('answer'), false, error.message);
	}
}

// A form body, which curl sends by default: shorter than the page's JSON, and the same to the server.
function showCurl() {
	const quote = (s) => `'${s.replaceAll("'", `'\\''`)}'`;
	const fields = Object.entries(composed()).map(([field, value]) => {
		const plain = /^[\w./-]*$/.test(value);
		const pair = `${field}=${value === true ? 1 : value}`;
		return plain ? `-d ${pair}` : `--data-urlencode ${quote(pair)}`;
	});
	$('curl').textContent = ['curl', ...fields, `${location.origin}/_sse/publish`].join(' \\\n  ');
}

// --- dropping

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function drop() {
	if (dropped) return;
	const client = push, button = $('drop'), label = button.textContent;
	dropped = true;
	button.setAttribute('aria-disabled', 'true');
	client.close();
	note(`Dropped after ${client.lastEventId ?? 'nothing'}. What is published now waits in Caddy's history.`);
	const sent = $('meanwhile').checked ? publishMeanwhile().catch((error) => note(error.message)) : undefined;
	for (let left = AWAY; left > 0; left -= 1_000) {
		button.textContent = `Back in ${left / 1_000} s`;
		await pause(1_000);
	}
	await sent;
	button.textContent = label;
	button.removeAttribute('aria-disabled');
	if (client !== push) return; // another user by now
	dropped = false;
	note(`Back with last_event_id=${client.lastEventId ?? ''}`);
	client.open();
}

async function publishMeanwhile() {
	for (let n = 1; n <= 3; n++) {
		await pause(600);
		await publish({ user, event: 'missed', data: `${n} of 3, published while you were away` });
	}
}

// --- the page

function become(name) {
	user = $('user').value = name;
	params.set('user', user);
	history.replaceState(null, '', '?' + params);
	document.title = `${user}: live events from Caddy`;
	connect();
	relayFor(user, push);
	showCompanions();
}

// What follows from the form: the second tab's link, the curl line.
function showCompanions() {
	const other = form.elements.other.value || 'ben';
	$('second').href = '?' + new URLSearchParams({ user: other, other: user });
	$('second').textContent = `Open a second tab as another user, ${other}`;
	$('whom').hidden = form.elements.to.value !== 'user';
	showCurl();
}

$('who').addEventListener('submit', (event) => {
	event.preventDefault();
	if ($('user').value === user) return;
	note(`You are ${$('user').value} now.`);
	become($('user').value);
});

form.addEventListener('input', showCompanions);

form.addEventListener('submit', (event) => {
	event.preventDefault();
	send(composed());
});

$('drop').addEventListener('click', drop);
$('clear').addEventListener('click', () => $('events').replaceChildren());
addEventListener('storage', (event) => { if (event.key === STORE) listenFor(stored()); });

form.elements.other.value = params.get('other') || someone();
listenFor(stored());
become(user);
