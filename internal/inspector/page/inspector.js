import { $, Figure, bytes, count, element, fill, head, rate, span } from './view.js';

const ROWS = 200;          // of a list
const EVENTS = 200;        // that the tail keeps
const WINDOW = 10;         // seconds that a quantile of the delay is made of
const LARGE = 5_000;       // connections from which lists are fetched less often
const UNSEEN = 60_000;     // how long the page stays connected while nobody sees it, ms

let source;                // the stream, while there is one
let last;                  // the last snapshot
const past = [];           // those of the last seconds
let list = 'connections';  // which list is shown
let fetched = { at: 0, seen: '' };
let paused = false, missed = 0, passed = 0;

// --- calls

async function call(path, options = {}) {
	const response = await fetch(path, { ...options, headers: { 'X-SSE-Inspector': '1', ...options.headers } });
	if (response.ok) return response.status === 204 ? undefined : response.json();
	let problem = {};
	try { problem = await response.json(); } catch { /* not from the inspector */ }
	if (response.status === 401 && path !== 'session') signedOut();
	throw new Error(problem.detail || `${response.status} ${problem.title ?? response.statusText}`);
}

const post = (path, body) => call(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });

function say(output, ok, text) {
	output.dataset.ok = ok;
	output.textContent = text;
}

// --- the session

async function begin() {
	const response = await fetch('session');
	if (response.ok) signedIn();
	else signedOut();
}

function signedIn() {
	$('signin').hidden = true;
	$('app').hidden = $('signout').hidden = false;
	open();
}

function signedOut() {
	close();
	state('waiting', '');
	$('signin').hidden = false;
	$('app').hidden = $('signout').hidden = $('hub').hidden = true;
	$('signin-form').elements.token.focus();
}

$('signin-form').addEventListener('submit', async (event) => {
	event.preventDefault();
	const { token } = event.target.elements;
	try {
		await post('session', { token: token.value });
		if (!(await fetch('session')).ok) throw new Error('The token is right, but the browser did not send the session cookie back. It may block cookies, or a proxy in front may remove or rewrite them.');
		event.target.reset();
		say($('signin-answer'), true, '');
		signedIn();
		document.querySelector('[role=tab][aria-selected=true]').focus();
	} catch (error) {
		say($('signin-answer'), false, error.message);
		token.select();
	}
});

$('signout').addEventListener('click', async () => {
	try {
		await call('session', { method: 'DELETE' });
	} catch (error) {
		return trouble(`Not signed out: ${error.message}`);
	}
	for (const list of ['events', 'rows']) $(list).replaceChildren(); // the next one here may be somebody else
	signedOut();
});

// --- the stream

function state(name, text) {
	if ($('state').dataset.state === name && $('state').textContent === text) return;
	$('state').dataset.state = name;
	$('state').textContent = text;
}

function trouble(text) {
	tell($('trouble'), text);
	$('trouble').hidden = !text;
}

// tell sets a text that assistive technology reads out when it changes, and only then.
function tell(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

const filled = (form) => new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ''));

function open() {
	close();
	state('away', 'Connecting');
	source = new EventSource('stream?' + filled($('filter')));
	source.addEventListener('snapshot', (event) => took(JSON.parse(event.data)));
	source.addEventListener('tail', (event) => tail(JSON.parse(event.data)));
	source.addEventListener('error', ({ target }) => {
		if (target !== source) return;
		state('away', 'Connecting');
		if (target.readyState !== EventSource.CLOSED) return; // it comes back by itself
		close();
		setTimeout(askWhy, 1_000);
	});
}

// askWhy says why the stream was refused, which EventSource does not tell, and opens it again, unless only another filter helps.
async function askWhy() {
	if (source || $('app').hidden) return;
	let status = 0, detail = '';
	try {
		const asked = new AbortController();
		const response = await fetch('stream?' + filled($('filter')), { signal: asked.signal });
		({ status } = response);
		if (!response.ok) ({ detail } = await response.json());
		asked.abort();
	} catch { /* nobody answers, or a front does */ }
	if (source || $('app').hidden) return;
	if (status === 401) signedOut();
	else if (status === 400 || status === 422) {
		state('bad', 'Refused');
		say($('filtered'), false, detail);
	} else {
		trouble(detail);
		open();
	}
}

function close() {
	source?.close();
	source = undefined;
}

let unseen;
document.addEventListener('visibilitychange', () => {
	clearTimeout(unseen);
	if (document.hidden) unseen = setTimeout(close, UNSEEN);
	else if (!source && !$('app').hidden) open();
});

// --- figures

const figures = {
	connections: new Figure($('figures'), 'Connections', count),
	published: new Figure($('figures'), 'Published per second', rate),
	delivered: new Figure($('figures'), 'Delivered per second', rate),
	delay: new Figure($('figures'), 'Delay, p99', span),
	arrived: new Figure($('figures'), 'Connects per second', rate),
	pending: new Figure($('figures'), 'Waiting for clients', bytes),
};

const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
const arrivals = (s) => (s.catchups.new ?? 0) + (s.catchups.resume ?? 0);

// quantile returns a bound of the delays of what was delivered since an earlier snapshot, or null if nothing was.
function quantile(q, s, before) {
	const counts = s.delays.map((n, i) => n - before.delays[i]);
	const total = counts.reduce((a, b) => a + b, 0);
	if (total <= 0) return null;
	let so = 0;
	const i = counts.findIndex((n) => (so += n) >= q * total);
	return s.bounds[Math.min(i, s.bounds.length - 1)];
}

function took(s) {
	if (last && (s.hub !== last.hub || s.published < last.published || s.delivered < last.delivered)) {
		last = undefined; // another life of the hub
		past.length = 0;
	}
	const before = last ?? s, oldest = past[0] ?? s;
	const seconds = Math.max((s.time - before.time) / 1_000, 0.001);
	const per = (f) => Math.max(f(s) - f(before), 0) / seconds;
	const p99 = quantile(0.99, s, oldest), p50 = quantile(0.5, s, oldest);

	figures.connections.add(s.connections, `${count(s.users)} users`);
	figures.published.add(per((t) => t.published), `${count(s.published)} in all`);
	figures.delivered.add(per((t) => t.delivered), `${bytes(per((t) => t.bytes))} per second`);
	figures.delay.add(p99, p50 === null ? 'nothing delivered' : `p50 ${span(p50)}`);
	figures.arrived.add(per(arrivals), `${rate(per((t) => sum(t.rejected)))} rejected per second`);
	figures.pending.add(s.pending, `hub behind by ${bytes(s.lag)}`);
	counts(s);

	$('hub').textContent = s.hub;
	$('hub').hidden = false;
	state(s.health ? 'bad' : 'live', s.health ? 'Not ready' : s.draining ? 'Draining' : 'Live');
	document.title = `${s.hub}: SSE push inspector`;
	trouble(s.health ? `The hub cannot reach its broker: ${s.health}` : '');

	last = s;
	past.push(s);
	if (past.length > WINDOW) past.shift();
	if (list === 'slowest') show(s.slowest, s.slowest.length);
	else refresh();
}

function counts(s) {
	const items = [
		['Delivered', count(s.delivered)], ['In the history', count(s.history)],
		['Resumed', count(s.catchups.resume ?? 0)], ['Slow', count(s.catchups.slow ?? 0), s.catchups.slow],
		['Gaps', said(s.gaps), sum(s.gaps)], ['Rejected', said(s.rejected), sum(s.rejected)],
		['Coalesced', count(s.coalesced)], ['Expired', count(s.expired)],
	];
	if (s.sources) items.push(['Sources', count(s.sources) + (s.failing ? ` (${count(s.failing)} failing)` : ''), s.failing]);
	if (s.relays) items.push(['Relays', count(s.relays)]);
	$('counts').replaceChildren(...items.map(([name, value, bad]) =>
		element('div', { 'data-bad': !!bad }, element('dt', {}, name), element('dd', {}, value))));
}

// said returns a sum with its parts, as text.
function said(parts) {
	const some = Object.entries(parts).filter(([, n]) => n > 0);
	return some.length ? `${count(sum(parts))} (${some.map(([name, n]) => `${name} ${count(n)}`).join(', ')})` : '0';
}

// --- lists

const ago = (time) => span(Math.max(Date.now() - Date.parse(time), 0)).replace(/^[\d.]+ ms$/, 'just now');

function button(label, about, act) {
	const b = element('button', { type: 'button', 'aria-label': `${label} ${about}` }, label);
	b.addEventListener('click', act);
	return b;
}

const disconnecting = (path, about) => button('Disconnect', about, () => end(path, about, 'Disconnect', 'Disconnected', 'A browser reconnects by itself, unless the app refuses it.'));
const stopping = (id) => button('Stop', `relay ${id}`, () => end('relays/' + encodeURIComponent(id), `relay ${id}`, 'Stop', 'Stopped', 'Its pages hear that it was cancelled.'));

const act = (...make) => ({
	title: '', class: 'act', make: (row) => {
		const f = document.createDocumentFragment();
		f.append(...make.map((m) => m(row)));
		return f;
	},
});

const ofConnection = (c) => disconnecting('connections/' + encodeURIComponent(c.id), `connection ${c.id}${c.user ? ` of ${c.user}` : ''}`);
const user = { title: 'User', class: 'name', text: (c) => c.user };
const id = { title: 'ID', class: 'mono id', full: true, text: (c) => c.id };
const remote = { title: 'Address', class: 'address', text: (c) => c.remote };

const lists = {
	connections: {
		key: (c) => c.id,
		none: 'No connections. Each page is listed here while it holds a stream. If yours is not, caddy sse-push doctor finds out why.',
		columns: [user, id, { title: 'Topics', class: 'topics', text: (c) => few(c.topics) }, remote,
			{ title: 'Open for', class: 'number', text: (c) => ago(c.since) }, act(ofConnection)],
	},
	users: {
		key: (u) => u.user,
		none: 'No user is connected. Streams without a user are listed only as connections.',
		columns: [user, { title: 'Connections', class: 'number', text: (u) => count(u.connections) },
			act((u) => button('Show', `connections of ${u.user}`, () => choose({ user: u.user })),
				(u) => disconnecting('users/' + encodeURIComponent(u.user), `user ${u.user}`))],
	},
	topics: {
		key: (t) => t.topic,
		none: 'No connection has a topic.',
		columns: [{ title: 'Topic', class: 'name', text: (t) => t.topic }, { title: 'Connections', class: 'number', text: (t) => count(t.connections) },
			act((t) => button('Show', `connections with ${t.topic}`, () => choose({ topic: t.topic })))],
	},
	sources: {
		key: (s) => s.id,
		none: 'The hub shares no stream of the app at the moment. The option source makes it share one.',
		columns: [{ title: 'Source', class: 'name', text: (s) => s.path }, { title: 'Shared', class: 'shared', text: (s) => s.shared }, { title: 'State', bad: (s) => s.last_error, text: (s) => because(s.state, s.last_error) },
			{ title: 'Listeners', class: 'number', text: (s) => count(s.listeners) + (s.asking ? ` + ${count(s.asking)}` : '') }, { title: 'Events', class: 'number', text: (s) => count(s.events) },
			{ title: 'Open for', class: 'number time', text: (s) => ago(s.since) },
			act((s) => button('Show', `connections of ${s.path}`, () => choose({ topic: s.id })))],
	},
	relays: {
		key: (r) => r.id + (r.ended ? ' over' : ''), // it has other buttons then
		none: 'The app has started no relay in the last 15 minutes.',
		columns: [{ title: 'Relay', class: 'name', text: (r) => r.id }, { title: 'For', class: 'audience', full: true, text: (r) => (r.user ? `user ${r.user}` : `topic ${r.topic}`) },
			{ title: 'State', bad: (r) => r.status === 'failed' || r.status === 'interrupted', text: (r) => because(r.status, r.error) },
			{ title: 'Listeners', class: 'number', text: (r) => count(r.listeners) }, { title: 'Events', class: 'number', text: (r) => count(r.events) },
			{ title: 'Age', class: 'number time', text: (r) => ago(r.since) },
			act((r) => button('Show', `connections of relay ${r.id}`, () => choose({ topic: r.id })), (r) => (r.ended ? '' : stopping(r.id)))],
	},
	slowest: {
		key: (c) => c.id,
		none: 'No client is behind.',
		columns: [user, id, { title: 'Behind', class: 'number', text: (c) => span(c.delay) },
			{ title: 'Events', class: 'number', text: (c) => count(c.events) },
			{ title: 'Waiting', class: 'number', text: (c) => (c.catching_up ? 'catching up' : bytes(c.pending)) }, act(ofConnection)],
	},
};

const because = (state, error) => (error ? `${state}: ${error}` : state);

function few(topics) {
	const shown = topics.slice(0, 5).join(', ');
	return topics.length > 5 ? `${shown} and ${topics.length - 5} more` : shown;
}

function show(rows, total) {
	const { columns, key, none } = lists[list];
	const focused = $('rows').contains(document.activeElement) && document.activeElement;
	fill($('rows'), columns, rows.slice(0, ROWS), key);
	if (focused && document.activeElement !== focused) (focused.isConnected ? focused : $('clients')).focus(); // its row has moved, or gone
	const filtered = list === 'connections' && `${filled($('chosen'))}`;
	tell($('none'), total ? '' : filtered ? 'No connection matches the filter.' : none);
	$('total').textContent = total > rows.length ? `${count(rows.length)} of ${count(total)}` : list === 'slowest' ? '' : count(total);
}

// refresh fetches the list if it may have changed, but not too often.
async function refresh(now) {
	const seen = `${last?.connections} ${last?.users} ${last && arrivals(last)}`;
	const age = Date.now() - fetched.at;
	if (fetched.busy) fetched.again ||= now;
	const calm = list === 'sources' || list === 'relays' ? 2_000 : 5_000; // those change by themselves
	if (fetched.busy || (!now && age < (last?.connections > LARGE ? 10_000 : seen === fetched.seen ? calm : 900))) return;
	fetched = { at: Date.now(), seen, busy: true };
	const kind = list;
	try {
		const query = kind === 'connections' ? filled($('chosen')) : new URLSearchParams();
		query.set('limit', ROWS);
		const answer = await call(`${kind}?${query}`);
		if (kind === list) show(answer[kind], answer.total);
	} catch (error) {
		if (kind === list) tell($('none'), error.message);
	} finally {
		fetched.busy = false;
		if ((fetched.again || kind !== list) && list !== 'slowest') refresh(true);
	}
}

function turnTo(name, focus) {
	list = name;
	for (const tab of document.querySelectorAll('[role=tab]')) {
		const selected = tab.id === 'tab-' + name;
		tab.setAttribute('aria-selected', selected);
		tab.tabIndex = selected ? 0 : -1;
		if (selected && focus) tab.focus();
	}
	for (const e of [$('clients'), $('clients').querySelector('table')]) e.setAttribute('aria-labelledby', 'tab-' + name);
	$('chosen').hidden = name !== 'connections';
	head($('columns'), lists[name].columns);
	$('rows').replaceChildren();
	$('total').textContent = $('none').textContent = '';
	if (name === 'slowest') show(last?.slowest ?? [], last?.slowest.length ?? 0);
	else if (source) refresh(true);
}

function choose(of) {
	$('chosen').reset();
	for (const [name, value] of Object.entries(of)) $('chosen').elements[name].value = value;
	turnTo('connections', true);
}

const tabs = [...document.querySelectorAll('[role=tab]')];
tabs.forEach((tab, i) => {
	const name = (t) => t.id.slice('tab-'.length);
	tab.addEventListener('click', () => turnTo(name(tab)));
	tab.addEventListener('keydown', ({ key }) => {
		const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[key];
		if (to !== undefined) turnTo(name(tabs[(to + tabs.length) % tabs.length]), true);
	});
});

$('chosen').addEventListener('submit', (event) => {
	event.preventDefault();
	refresh(true);
});
$('chosen').addEventListener('reset', () => setTimeout(() => refresh(true)));

// end asks whether something is to be ended, and ends it.
function end(path, about, verb, done, hint) {
	$('confirm-title').textContent = `${verb}?`;
	$('confirm-yes').textContent = verb;
	$('confirm-hint').textContent = hint;
	$('confirm-text').textContent = about;
	$('confirm').returnValue = 'no';
	$('confirm').onclose = async () => {
		if ($('confirm').returnValue !== 'yes') return;
		try {
			await call(path, { method: 'DELETE' });
			say($('done'), true, `${done} ${about}`);
		} catch (error) {
			say($('done'), false, error.message);
		}
		if (list !== 'slowest') refresh(true);
	};
	$('confirm').showModal();
}

// --- events

function tail({ events, missed: more }) {
	missed += more;
	if (paused) passed += events.length;
	showMissed();
	if (paused) return;
	for (const e of events.slice(-EVENTS)) $('events').prepend(row(e));
	while ($('events').childElementCount > EVENTS) $('events').lastElementChild.remove();
}

function showMissed() {
	$('missed').hidden = !missed && !passed;
	$('missed').textContent = [missed && `${count(missed)} more came too fast to show: filter to see fewer.`,
		passed && `${count(passed)} passed while this was paused.`].filter(Boolean).join(' ');
}

function row(e) {
	const at = new Date(e.time);
	const type = e.event || 'message';
	const targets = [['user', e.users], ['topic', e.topics], ['connection', e.connections]].flatMap(([kind, names = []]) => names.map((name) => `${kind} ${name}`));
	if (e.broadcast) targets.push('broadcast');
	if (e.more) targets.push(`and ${count(e.more)} more`);
	const li = element('li', { 'data-type': type },
		element('time', { datetime: at.toISOString() }, at.toTimeString().slice(0, 8) + '.' + String(at.getMilliseconds()).padStart(3, '0')),
		element('span', { class: 'type' }, type),
		...targets.map((t) => element('span', { class: 'target' }, t)),
		element('code', { class: 'id' }, `${bytes(e.size)} · ${e.id}`), element('pre', {}, e.data));
	return li;
}

$('filter').addEventListener('submit', (event) => {
	event.preventDefault();
	again();
});
$('filter').addEventListener('reset', () => setTimeout(again));

function again() {
	say($('filtered'), true, '');
	clear();
	open();
}

function clear() {
	$('events').replaceChildren();
	missed = passed = 0;
	showMissed();
}

$('clear').addEventListener('click', clear);
$('pause').addEventListener('click', () => {
	paused = !paused;
	$('pause').setAttribute('aria-pressed', paused);
});

// --- publishing

$('publish').addEventListener('input', () => {
	const { to, name } = $('publish').elements;
	$('whom').hidden = name.disabled = to.value === 'broadcast';
});

$('publish').addEventListener('submit', async (event) => {
	event.preventDefault();
	const { to, name, event: type, data } = event.target.elements;
	const target = to.value === 'broadcast' ? { broadcast: true } : { [to.value]: name.value };
	try {
		const answer = await post('publish', { ...target, ...(type.value && { event: type.value }), data: data.value });
		say($('published'), true, `Published as ${answer.id}`);
	} catch (error) {
		say($('published'), false, error.message);
	}
});

turnTo('connections');
begin().catch((error) => {
	signedOut();
	say($('signin-answer'), false, error.message);
});
