import { afterEach, beforeEach, mock, test } from 'node:test';
import assert from 'node:assert/strict';
import { SsePush } from '../sse-push.js';
import { FakeEventSource } from '../testing/browser.mjs';

// A browser as far as the client sees one: EventSource, fetch, a window with page events, a document, a clock.

let sources, probes, status, type, page, push;

class Source extends FakeEventSource {
	constructor(url, init) {
		super(url, init);
		sources.push(this);
	}

	send(type, data, id) { super.send(type, typeof data === 'string' ? data : JSON.stringify(data), id); }

	connected(id = 'p0') { this.send('sse:connected', { connection: 'c' + sources.length, user: 'u1', topics: ['room'] }, id); }
}

// Page events are counted, so that a listener left behind shows.
class Target extends EventTarget {
	listeners = 0;
	addEventListener(name, fn, options) {
		super.addEventListener(name, fn, options);
		this.listeners++;
		options.signal.addEventListener('abort', () => this.listeners--);
	}
}

const fake = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
const fire = (name, props = {}) => page.dispatchEvent(Object.assign(new Event(name), props));
// pass lets time go by with its timers in time: a tick in one piece would be a page that slept.
const pass = (ms) => { for (; ms > 0; ms -= 1_000) mock.timers.tick(Math.min(ms, 1_000)); };
const settle = async () => { for (let i = 0; i < 5; i++) await null; };
const open = () => sources.filter((source) => source.readyState !== 2);
const last = () => sources.at(-1);
const param = (name) => last().url.searchParams.get(name);
const states = () => {
	const seen = [];
	push.on('sse:state', ({ state }) => seen.push(state));
	return seen;
};

beforeEach(() => {
	mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_000_000 });
	mock.method(Math, 'random', () => 0.999999);
	sources = [];
	probes = [];
	status = 502;
	type = 'text/html';
	page = new Target();
	fake('EventSource', Source);
	fake('addEventListener', page.addEventListener.bind(page));
	fake('document', Object.assign(new Target(), { baseURI: 'https://app.example/shop/', visibilityState: 'visible' }));
	fake('fetch', (url, init) => {
		probes.push({ url: new URL(url), ...init });
		return status instanceof Promise ? status : status ? Promise.resolve({ status, headers: new Headers({ 'content-type': type }) }) : Promise.reject(new TypeError('failed'));
	});
});

afterEach(() => {
	push.close();
	mock.timers.reset();
	mock.restoreAll();
});

test('opens the URL it was given, with topics, position and credentials', () => {
	push = new SsePush('/events?userId=u1', { topics: ['room', 'a/b c'], lastEventId: 'p7', replay: 5, withCredentials: true });
	assert.equal(last().url.origin + last().url.pathname, 'https://app.example/events');
	assert.equal(param('userId'), 'u1');
	assert.deepEqual(last().url.searchParams.getAll('topic'), ['room', 'a/b c']);
	assert.equal(param('last_event_id'), 'p7');
	assert.equal(param('replay'), null, 'replay is for a client without a position');
	assert.equal(last().init.withCredentials, true);

	push.close();
	push = new SsePush('/events', { replay: 5 });
	assert.equal(param('replay'), '5');
	assert.equal(param('last_event_id'), null);
});

test('is open when the server says so, and tells who it is', () => {
	push = new SsePush('/events');
	const seen = states();
	for (const name of ['open', 'error']) push.addEventListener(name, () => assert.fail('not an event of the stream'));
	assert.equal(push.state, 'connecting');
	last().dispatchEvent(new Event('open'));
	last().dispatchEvent(new Event('error'));
	assert.equal(push.state, 'connecting', 'an HTTP 200 may still be a refusal');
	last().connected('p3');
	assert.equal(push.state, 'open');
	assert.deepEqual([push.connection, push.user, push.topics, push.lastEventId], ['c1', 'u1', ['room'], 'p3']);
	assert.deepEqual(seen, ['open']);
});

test('hands events on, JSON read, text as it is', () => {
	push = new SsePush('/events');
	const seen = [];
	push.addEventListener('message', (event) => seen.push(event.data));
	const off = push.on('order', (order, event) => seen.push(order, event.lastEventId));
	push.on('order', (order) => seen.push(order));
	last().connected();
	push.on('late', (data) => seen.push(data));
	last().send('order', { n: 1 }, 'p1~o1');
	last().send('message', 'plain', 'p2');
	last().send('late', 'x{', 'p3');
	off();
	last().send('order', 'twice', 'p4');
	assert.deepEqual(seen, [{ n: 1 }, 'p1~o1', { n: 1 }, 'plain', 'x{', 'twice']);
});

test('leaves a reconnect of the browser to the browser', async () => {
	push = new SsePush('/events');
	last().connected();
	const seen = states();
	last().fail(0);
	await settle();
	pass(60_000);
	assert.equal(sources.length, 1);
	assert.equal(probes.length, 0);
	assert.equal(push.connection, null, 'the old id is no longer a target');
	last().connected('p9');
	assert.deepEqual(seen, ['connecting', 'open']);
});

test('reopens a source that gave up, from the last id, each time later', async () => {
	push = new SsePush('/events', { topics: ['room'] });
	const orders = [], waits = [];
	push.on('order', (n) => orders.push(n));
	push.on('sse:state', ({ wait }) => { if (wait) waits.push(wait); });
	last().connected('p0');
	last().send('order', 1, 'p1');
	for (let i = 0; i < 7; i++) {
		const count = sources.length;
		last().fail(2);
		await settle();
		mock.timers.tick(waits.at(-1) - 1);
		assert.equal(sources.length, count, 'not before the wait is over');
		mock.timers.tick(1);
		assert.equal(sources.length, count + 1);
		assert.equal(open().length, 1);
		assert.equal(param('last_event_id'), 'p1');
		assert.equal(param('topic'), 'room');
	}
	assert.deepEqual(waits, [2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);

	last().connected('p1');
	last().send('order', 2, 'p2');
	last().fail(2);
	assert.equal(waits.at(-1), 2_000, 'connected: the waits start over');
	mock.timers.tick(2_000);
	last().connected('p2');
	mock.method(Math, 'random', () => 0);
	last().fail(2);
	assert.equal(waits.at(-1), 1_000, 'jittered, but never at once');
	assert.deepEqual(orders, [1, 2]);
});

test('remembers the id of every event of the stream itself', () => {
	push = new SsePush('/events');
	for (const [i, name] of ['sse:connected', 'sse:gap', 'sse:position'].entries()) {
		last().send(name, {}, 'p' + i);
		assert.equal(push.lastEventId, 'p' + i);
	}
	push.open();
	assert.equal(param('last_event_id'), 'p2');
	last().send('sse:rejected', { reason: 'draining' });
	assert.equal(push.lastEventId, 'p2', 'an event without an id takes none away');
});

test('knows its topics when the app changes them', () => {
	push = new SsePush('/events');
	last().connected();
	last().send('sse:topics', { topics: ['room', 'more'] });
	assert.deepEqual([push.state, push.topics], ['open', ['room', 'more']]);
});

test('gives way to another page with its name', () => {
	push = new SsePush('/events', { client: 'x'.repeat(16) });
	assert.equal(param('client'), 'x'.repeat(16));
	const seen = states(), heard = [];
	push.on('sse:superseded', (data) => heard.push(data));
	last().connected();
	last().send('sse:superseded', {});
	assert.deepEqual([seen, heard, push.connection, open().length], [['open', 'superseded'], [{}], null, 0]);
	fire('online');
	assert.equal(open().length, 0, 'it does not take it back by itself');
	push.open();
	assert.equal(open().length, 1);
});

test('a source that was replaced says nothing more', () => {
	push = new SsePush('/events');
	const seen = [];
	push.on('order', (n) => seen.push(n));
	const [old] = sources;
	old.connected('p0');
	push.open();
	assert.equal(old.readyState, 2);
	old.readyState = 1; // events that were queued
	old.send('order', 1, 'p1');
	old.fail(2);
	assert.deepEqual(seen, []);
	assert.equal(push.lastEventId, 'p0');
	assert.equal(open().length, 1);
	assert.equal(probes.length, 0);
});

test('a source that comes back though the page has closed it is closed again', () => {
	push = new SsePush('/events');
	last().connected('p1');
	const zombie = last();
	fire('pagehide');
	fire('pageshow');
	last().connected('p2');
	zombie.fail(0);
	assert.equal(zombie.readyState, 2, 'after an error');
	zombie.readyState = 1;
	zombie.dispatchEvent(new MessageEvent('sse:connected', { data: '{"connection":"z"}', lastEventId: 'p9' }));
	assert.equal(zombie.readyState, 2, 'after an event');
	assert.deepEqual([push.connection, push.lastEventId, open().length], ['c2', 'p2', 1]);
});

// Behind a service worker, Chromium reconnects without the last id.
for (const [where, fakes, itself] of [
	['in a page behind a service worker', { navigator: { serviceWorker: { controller: {} } } }, true],
	['in a page without one', { navigator: { serviceWorker: { controller: null } } }, false],
	['in a page that can have none', { navigator: {} }, false],
	['in a worker, which may be behind one', { navigator: {}, isSecureContext: true, document: undefined }, true],
	['in a worker that can have none', { navigator: {}, isSecureContext: false, document: undefined }, false],
]) {
	test(`${where} it ${itself ? 'reopens from the last id itself' : 'leaves a reconnect to the browser'}`, (t) => {
		const before = Object.keys(fakes).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
		t.after(() => before.forEach(([name, was]) => was ? Object.defineProperty(globalThis, name, was) : delete globalThis[name]));
		fake('location', { href: 'https://app.example/worker.js' });
		for (const [name, value] of Object.entries(fakes)) fake(name, value);
		push = new SsePush('/events');
		last().connected('p1');
		last().fail(0);
		assert.equal(open().length, itself ? 0 : 1);
		pass(2_000);
		assert.equal(open().length, 1);
		assert.equal(sources.length, itself ? 2 : 1);
		assert.equal(param('last_event_id'), itself ? 'p1' : null);
		assert.equal(probes.length, 0, 'the stream has ended, not been refused');
	});
}

// A page whose origin may not subscribe may read the 403 only without credentials; any other failure counts as no answer.
for (const [name, omitted, state] of [
	['a page of an origin that may not subscribe is refused for good', 403, 'refused'],
	['an answer to the page without its cookies counts for nothing else', 401, 'connecting'],
]) {
	test(name, async () => {
		fake('fetch', (url, { credentials }) => {
			probes.push({ credentials });
			return credentials === 'omit' ? Promise.resolve({ status: omitted, headers: new Headers() }) : Promise.reject(new TypeError('CORS'));
		});
		push = new SsePush('https://push.example/events', { withCredentials: true });
		last().fail(2);
		await settle();
		assert.deepEqual(probes.map(({ credentials }) => credentials), ['include', 'omit']);
		assert.equal(push.state, state);
	});
}

test('a page that closes when it hears of a failure asks nothing more', async () => {
	push = new SsePush('/events');
	push.on('sse:state', ({ wait }) => wait && push.close());
	status = 403;
	last().fail(2);
	await settle();
	pass(60_000);
	assert.deepEqual([push.state, sources.length], ['closed', 1]);
});

for (const final of [204, 400, 401, 403, 404]) {
	test(`a ${final} is for good`, async () => {
		status = final;
		type = 'application/problem+json';
		push = new SsePush('/events', { withCredentials: true });
		const seen = [];
		push.on('sse:state', (state) => seen.push(state));
		last().fail(2);
		await settle();
		assert.deepEqual(seen.at(-1), { state: 'refused', status: final });
		assert.equal(probes[0].method, 'HEAD');
		assert.equal(probes[0].credentials, 'include');
		assert.equal(probes[0].cache, 'no-store');
		assert.equal(probes[0].headers.Accept, 'text/event-stream');
		assert.equal(probes[0].url.href, last().url.href);
		pass(300_000);
		fire('online');
		fire('pageshow', { persisted: true });
		assert.equal(sources.length, 1);

		push.open(); // after a login
		assert.equal(sources.length, 2);
		last().connected();
		assert.equal(push.state, 'open');
	});
}

for (const [name, answer] of [['a 200', 200], ['a 429', 429], ['a 502', 502], ['no network', 0], ['no answer', new Promise(() => {})]]) {
	test(`${name} is not for good`, async () => {
		status = answer;
		push = new SsePush('/events');
		last().fail(2);
		await settle();
		assert.equal(push.state, 'connecting');
		mock.timers.tick(2_000);
		assert.equal(sources.length, 2);
		assert.equal(probes[0].signal.aborted, true, 'the question ends with the wait');
	});
}

test('a 404 of a front is for good only if it lasts', async () => {
	status = 404;
	push = new SsePush('/events');
	const seen = states();
	for (let waited = 0; waited < 60_000; waited += 30_000) { // at least a minute
		last().fail(2);
		await settle();
		assert.equal(push.state, 'connecting');
		pass(30_000);
	}
	last().connected();
	last().fail(2);
	await settle();
	assert.equal(push.state, 'connecting', 'once it has answered, the time starts over');
	mock.timers.tick(2_000);
	status = 502;
	last().fail(2);
	await settle();
	pass(60_000);
	status = 404;
	last().fail(2);
	await settle();
	assert.equal(push.state, 'connecting', 'a 502 in between, too');
	pass(60_000);
	last().fail(2);
	await settle();
	assert.equal(seen.at(-1), 'refused');
});

test('an answer that comes too late changes nothing', async () => {
	let answer;
	status = new Promise((resolve) => { answer = resolve; });
	push = new SsePush('/events');
	last().fail(2);
	mock.timers.tick(2_000);
	last().connected();
	answer({ status: 403, headers: new Headers() });
	await settle();
	assert.equal(push.state, 'open');
	assert.equal(open().length, 1);
});

test('hands on gap and rejected', () => {
	push = new SsePush('/events');
	const seen = [];
	push.on('sse:gap', (gap) => seen.push(gap));
	push.on('sse:rejected', (rejected) => seen.push(rejected));
	const gap = { reason: 'trimmed', from: 'p1', to: 'p5', delay: 700 };
	last().connected('p1');
	last().send('sse:gap', gap, 'p5');
	assert.equal(push.lastEventId, 'p5');
	last().fail(0);
	last().send('sse:rejected', { reason: 'per_user' });
	assert.equal(push.state, 'connecting');
	last().fail(0);
	assert.deepEqual(seen, [gap, { reason: 'per_user' }]);
	assert.equal(sources.length, 1, 'the browser comes back after the time it was told');
});

test('closes for the back/forward cache, and comes back from it', () => {
	push = new SsePush('/events');
	last().connected('p4');
	fire('pagehide', { persisted: true });
	assert.equal(open().length, 0);
	assert.equal(push.state, 'connecting');
	pass(600_000);
	fire('online');
	assert.equal(sources.length, 1, 'nothing opens on a page that is away');
	fire('pageshow', { persisted: true });
	assert.equal(open().length, 1);
	assert.equal(param('last_event_id'), 'p4');
	fire('pageshow', { persisted: false });
	assert.equal(sources.length, 2);
});

test('closes when the page is frozen, and comes back with it, however short that was', () => {
	push = new SsePush('/events');
	last().connected('p4');
	document.dispatchEvent(new Event('freeze'));
	assert.equal(open().length, 0);
	mock.timers.tick(1_000);
	document.dispatchEvent(new Event('resume'));
	assert.equal(open().length, 1);
	assert.equal(param('last_event_id'), 'p4');

	last().connected('p4');
	fire('pagehide', { persisted: true }); // a page in the back/forward cache is frozen, too
	document.dispatchEvent(new Event('freeze'));
	document.dispatchEvent(new Event('resume'));
	fire('pageshow', { persisted: true });
	assert.equal(sources.length, 3, 'one new source, not two');
	assert.equal(open().length, 1);
});

test('a wait does not outlive its page', async () => {
	push = new SsePush('/events');
	last().fail(2);
	fire('pagehide', { persisted: true });
	await settle();
	pass(600_000);
	assert.equal(sources.length, 1);
});

test('opens anew when the network is back', () => {
	push = new SsePush('/events');
	last().connected('p1');
	fire('online');
	assert.equal(sources.length, 2);
	assert.equal(open().length, 1);
	last().fail(2);
	fire('online');
	assert.equal(sources.length, 3, 'also in the middle of a wait');
	mock.timers.tick(19_000);
	assert.equal(sources.length, 3);
});

test('opens anew after a sleep, but not for the slow timers of a hidden page', () => {
	push = new SsePush('/events');
	last().connected('p1');
	const look = (visibilityState) => {
		document.visibilityState = visibilityState;
		document.dispatchEvent(new Event('visibilitychange'));
	};
	let now = Date.now();
	mock.method(Date, 'now', () => now); // the clock goes on, timers do not
	const tick = (after) => { now += after; mock.timers.tick(20_000); };
	tick(20_000);
	assert.equal(sources.length, 1);
	tick(40_000);
	assert.equal(sources.length, 2, 'a page in view notices by itself');
	assert.equal(param('last_event_id'), 'p1');

	last().connected('p2');
	look('hidden');
	for (let i = 0; i < 10; i++) tick(61_000);
	assert.equal(sources.length, 2, 'a hidden page has slow timers');
	tick(90_000);
	assert.equal(sources.length, 3);
	last().connected('p2');
	now += 40_000; // a phone that was asleep for less than a minute
	look('visible');
	assert.equal(sources.length, 4);
	assert.equal(param('last_event_id'), 'p2');
	now += 10_000;
	look('hidden');
	look('visible');
	assert.equal(sources.length, 4, 'a short look elsewhere is no sleep');
});

test('works in a worker, which has no document', async () => {
	fake('document', undefined);
	fake('location', new URL('https://app.example/js/worker.js'));
	status = 401;
	const complaints = mock.method(console, 'error', () => {});
	const urls = ['events?ticket=2', 'https://other.example/events', 'http://[', null];
	push = new SsePush('../events', { renew: () => urls.shift() });
	assert.equal(last().url.href, 'https://app.example/events');
	for (const want of ['https://app.example/js/events?ticket=2', 'https://other.example/events']) {
		last().connected();
		last().send('sse:expiring', { in: 60_000 });
		await settle();
		assert.equal(last().url.origin + last().url.pathname + (last().url.searchParams.has('ticket') ? '?ticket=2' : ''), want);
	}
	assert.equal(complaints.mock.callCount(), 0);
	last().connected();
	last().send('sse:expiring', { in: 60_000 });
	await settle();
	assert.equal(complaints.mock.callCount(), 1, 'a URL that is none is reported');
	assert.equal(push.state, 'open');
	pass(60_000);

	push.close();
	fake('location', new URL('blob:https://app.example/5f3c'));
	push = new SsePush('/events');
	assert.equal(last().url.href, 'https://app.example/events');
	delete globalThis.location;
});

test('a heartbeat of the app is watched', () => {
	push = new SsePush('/events', { heartbeat: 30_000 });
	push.on('beat', () => {});
	pass(60_000);
	assert.equal(sources.length, 1, 'not while it connects');
	last().connected('p0');
	for (let i = 0; i < 5; i++) {
		pass(25_000);
		last().send('beat', '', 'p' + i);
	}
	assert.equal(sources.length, 1);
	pass(45_000);
	assert.equal(sources.length, 2);
	assert.equal(param('last_event_id'), 'p4');
});

test('heartbeats of the server are watched, from the first on', () => {
	push = new SsePush('/events', { heartbeat: true });
	push.on('sse:heartbeat', () => assert.fail('not for the app'));
	assert.equal(param('heartbeat'), '');
	last().connected('p0');
	pass(600_000);
	assert.equal(sources.length, 1, 'a server that knows of none');
	for (let i = 0; i < 5; i++) {
		last().send('sse:heartbeat', { next: 30_000 });
		pass(30_000);
	}
	assert.equal(sources.length, 1);
	pass(30_000);
	assert.equal(sources.length, 2);
	assert.equal(param('last_event_id'), 'p0');
});

test('without a heartbeat silence is no fault', () => {
	push = new SsePush('/events');
	last().connected();
	for (let i = 0; i < 60; i++) pass(60_000);
	assert.equal(sources.length, 1);
});

test('close leaves nothing behind', async () => {
	const timers = new Set();
	for (const [set, clear] of [['setTimeout', 'clearTimeout'], ['setInterval', 'clearInterval']]) {
		const start = globalThis[set], end = globalThis[clear];
		mock.method(globalThis, set, (...args) => { const id = start(...args); timers.add(id); return id; });
		mock.method(globalThis, clear, (id) => { timers.delete(id); end(id); });
	}
	status = new Promise(() => {});
	push = new SsePush('/events', { heartbeat: 10_000 });
	const seen = states();
	last().connected();
	last().fail(2);
	assert.equal(timers.size, 2);
	assert.ok(page.listeners > 0 && document.listeners > 0);
	push.close();
	push.close();
	assert.deepEqual(seen, ['open', 'connecting', 'closed']);
	assert.equal(timers.size, 0);
	assert.equal(page.listeners + document.listeners, 0);
	assert.equal(open().length, 0);
	assert.equal(probes[0].signal.aborted, true);
	await settle();
	pass(300_000);
	fire('online');
	fire('pageshow', { persisted: true });
	assert.equal(sources.length, 1);

	push.open();
	push.open();
	assert.equal(open().length, 1);
	assert.equal(timers.size, 1);
	push.close();
	assert.equal(timers.size, 0);
	assert.equal(page.listeners + document.listeners, 0);
});

test('renews before the grant ends, from the last id', async () => {
	let n = 0;
	push = new SsePush('/events?ticket=t0', { renew: async () => '/events?ticket=t' + ++n });
	const seen = [];
	push.on('sse:expiring', (expiring) => seen.push(expiring));
	last().connected('p1');
	last().send('sse:expiring', { in: 30_000 });
	last().send('sse:expiring', { in: 29_000 });
	assert.equal(sources.length, 1, 'the stream goes on meanwhile');
	await settle();
	assert.equal(sources.length, 2);
	assert.equal(open().length, 1);
	assert.equal(param('ticket'), 't1');
	assert.equal(param('last_event_id'), 'p1');
	assert.deepEqual(seen, [{ in: 30_000 }, { in: 29_000 }]);
	last().connected('p1');
	last().send('sse:expiring', { in: 30_000 });
	await settle();
	assert.equal(param('ticket'), 't2', 'and again');
});

test('without renew, the stream goes on to its end', async () => {
	push = new SsePush('/events');
	last().connected();
	last().send('sse:expiring', { in: 30_000 });
	await settle();
	assert.equal(sources.length, 1);
	assert.equal(push.state, 'open');
});

for (const [name, renew] of [
	['fails', () => Promise.reject(new Error('offline'))], ['throws', () => { throw new Error('no'); }], ['gives nothing', () => null], ['gives no URL', () => 'http://'],
]) {
	test(`a renew that ${name} changes nothing`, async () => {
		push = new SsePush('/events', { renew });
		last().connected();
		last().send('sse:expiring', { in: 30_000 });
		await settle();
		assert.equal(sources.length, 1);
		assert.equal(push.state, 'open');
	});
}

test('renews once when refused, then believes it', async () => {
	status = 401;
	let n = 0;
	push = new SsePush('/events?ticket=t0', { renew: () => '/events?ticket=t' + ++n });
	last().fail(2);
	await settle();
	assert.equal(param('ticket'), 't1');
	assert.equal(push.state, 'connecting');
	last().fail(2);
	await settle();
	assert.equal(push.state, 'refused');
	assert.equal(n, 1);
	push.open();
	last().connected();
	last().fail(2);
	await settle();
	assert.equal(param('ticket'), 't2', 'it was open in between');
	status = 403;
	last().fail(2);
	await settle();
	assert.equal(push.state, 'refused', 'a new ticket does not help against a 403');
});

test('a renewal opens nothing on a page that is away or closed', async () => {
	let give;
	push = new SsePush('/events', { renew: () => new Promise((resolve) => { give = resolve; }) });
	last().connected('p1');
	last().send('sse:expiring', { in: 30_000 });
	fire('pagehide', { persisted: true });
	give('/events?ticket=t1');
	await settle();
	assert.equal(open().length, 0);
	fire('pageshow', { persisted: true });
	assert.equal(param('ticket'), 't1');
	last().connected('p1');
	last().send('sse:expiring', { in: 30_000 });
	push.close();
	give('/events?ticket=t2');
	await settle();
	assert.equal(open().length, 0);
});

test('a relay is heard in a stream of its own, to its end', async () => {
	push = new SsePush('/events?ticket=t', { topics: ['room'], client: 'c'.repeat(16), withCredentials: true });
	const first = last();
	const relay = push.relay('chat/1', { events: ['token'] });
	assert.notEqual(last(), first);
	assert.equal(param('relay'), 'chat/1');
	assert.equal(param('ticket'), 't');
	assert.deepEqual(last().url.searchParams.getAll('topic'), []);
	assert.equal(param('client'), null);
	assert.equal(last().init.withCredentials, true);
	const seen = [];
	const over = (async () => { for await (const event of relay) seen.push(event); })();
	const heard = [];
	relay.on('token', (data) => heard.push(data));
	last().connected('p1');
	last().send('token', '"a"', 'p2');
	last().send('other', '1');
	last().send('sse:gap', { reason: 'trimmed' }, 'p3');
	last().send('token', 'b c', 'p4');
	for (let i = 0; i < 3; i++) await settle();
	assert.deepEqual(seen.map(({ type, data }) => [type, data]), [['token', '"a"'], ['sse:gap', '{"reason":"trimmed"}'], ['token', 'b c']]);
	assert.equal(seen[2].lastEventId, 'p4');
	last().send('token', 'last', 'p5');
	last().send('sse:end', { relay: 'chat/1', status: 'complete', events: 3, bytes: 9 }, 'p6');
	await over;
	assert.equal(seen.at(-1).data, 'last');
	assert.deepEqual(heard, ['a', 'b c', 'last']);
	assert.deepEqual(relay.end, { relay: 'chat/1', status: 'complete', events: 3, bytes: 9 });
	assert.equal(relay.state, 'closed');
	assert.deepEqual(open(), [first]);
});

test('a relay that is not known is over at once, and one whose loop is left is closed', async () => {
	push = new SsePush('/events');
	const unknown = push.relay('none');
	const over = (async () => { for await (const event of unknown) assert.fail(event); })();
	status = 204;
	last().fail(2);
	await over;
	assert.equal(unknown.end, null);
	assert.equal(unknown.state, 'refused');

	const left = push.relay('chat');
	const loop = (async () => { for await (const { data } of left) if (data === 'stop') break; })();
	last().connected();
	last().send('message', 'stop');
	await loop;
	assert.equal(left.state, 'closed');
	assert.equal(open().length, 1);
});
