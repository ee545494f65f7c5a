import { SsePush } from '../sse-push.js';

// What tests put in place of a browser.

/** An EventSource whose server is the test. */
export class FakeEventSource extends EventTarget {
	static CONNECTING = 0;
	static OPEN = 1;
	static CLOSED = 2;

	readyState = 0;
	lastEventId = '';

	constructor(url, init) {
		super();
		this.url = new URL(url);
		this.init = init;
	}

	close() { this.readyState = 2; }

	// As the standard says, an id sticks, and nothing is dispatched after close().
	send(type, data, id) {
		if (this.readyState === 2) return;
		if (id) this.lastEventId = id;
		this.readyState = 1;
		this.dispatchEvent(new MessageEvent(type, { data, lastEventId: this.lastEventId }));
	}

	fail(readyState) {
		this.readyState = readyState;
		this.onerror(new Event('error'));
	}
}

// A browser with many tabs, and a server. What happens between them (messages, locks, bytes) are tasks: those of one sender for
// one tab come in order, and otherwise in any order. A seed decides. A tab that hangs runs nothing until it thaws.

export let world;

/** Begins with no tabs and an empty log. */
export const begin = (seed = 1) => { world = new World(seed); locks.refused = false; };

class World {
	now = 1_700_000_000_000;
	queues = new Map();  // key → tasks
	timers = new Map();  // id → { tab, at, every, fn }
	channels = new Set();
	locks = new Map();   // name → { held, waiting }
	tabs = [];
	current = null;
	nextId = 1;

	// The server.
	log = [];            // { id, type, data }
	life = 'e1';
	count = 0;
	trimmed = 0;         // so many of the log are gone
	sources = new Set();
	down = false;
	requests = 0;

	constructor(seed) { this.seed = seed; }

	random() { // mulberry32
		let t = this.seed += 0x6D2B79F5;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	}
	pick(list) { return list[Math.floor(this.random() * list.length)]; }

	task(key, tab, fn) {
		if (!this.queues.has(key)) this.queues.set(key, []);
		this.queues.get(key).push({ tab, fn });
	}

	async run(tab, fn) {
		this.current = tab;
		globalThis.document = tab.document;
		globalThis.addEventListener = (...args) => tab.window.addEventListener(...args);
		const value = fn();
		for (let i = 0; i < 8; i++) await null; // what it has promised goes on as this tab
		return value;
	}

	// Runs tasks until none is left, or so many.
	async settle(most = Infinity) {
		for (; most > 0; most--) {
			const ready = [...this.queues].filter(([, tasks]) => tasks.length && (tasks[0].tab.dead || !tasks[0].tab.hung));
			if (!ready.length) return;
			const { tab, fn } = this.pick(ready)[1].shift();
			if (!tab.dead) await this.run(tab, fn);
		}
	}

	async pass(ms) {
		const end = this.now + ms;
		for (;;) {
			await this.settle();
			const due = [...this.timers.values()].filter(({ tab, at }) => !tab.hung && at <= end).sort((a, b) => a.at - b.at)[0];
			if (!due) break;
			this.now = Math.max(this.now, due.at);
			if (due.every) due.at = this.now + due.every;
			else this.timers.delete(due.id);
			await this.run(due.tab, due.fn);
		}
		this.now = end;
	}

	// A tab's own life.

	async open(options = {}, { url = '/events', names = ['a'] } = {}) {
		const tab = { id: this.tabs.length, dead: false, hung: false, away: false, heard: [], states: [], document: new EventTarget(), window: new EventTarget(), from: this.log.find(({ id }) => id === options.lastEventId)?.n };
		Object.assign(tab.document, { baseURI: 'https://app.example/', visibilityState: 'visible' });
		this.tabs.push(tab);
		await this.run(tab, () => {
			tab.push = new SsePush(url, { share: true, ...options });
			tab.push.on('sse:state', ({ state }) => tab.states.push(state));
			for (const type of [...names, 'sse:gap']) this.listen(tab, type);
		});
		return tab;
	}
	listen(tab, type) { tab.push.addEventListener(type, ({ type, data, lastEventId }) => tab.heard.push({ type, data, id: lastEventId })); }

	kill(tab) { // a crash, or its user closes it
		tab.dead = true;
		for (const channel of [...this.channels]) if (channel.tab === tab) channel.close();
		for (const source of [...this.sources]) if (source.tab === tab) source.close();
		for (const [id, timer] of this.timers) if (timer.tab === tab) this.timers.delete(id);
		for (const lock of this.locks.values()) {
			lock.waiting = lock.waiting.filter((request) => request.tab !== tab);
			if (lock.held?.tab === tab) { lock.held = null; this.grant(lock); }
		}
	}
	close(tab) { tab.closed = true; return this.run(tab, () => tab.push.close()); }
	freeze(tab) { tab.away = tab.hung = true; return this.run(tab, () => tab.document.dispatchEvent(new Event('freeze'))); }
	thaw(tab) { tab.away = tab.hung = false; return this.run(tab, () => tab.document.dispatchEvent(new Event('resume'))); }
	hide(tab) { tab.away = tab.hung = true; return this.run(tab, () => tab.window.dispatchEvent(new Event('pagehide'))); }
	show(tab) { tab.away = tab.hung = false; return this.run(tab, () => tab.window.dispatchEvent(new Event('pageshow'))); }

	grant(lock) {
		const request = lock.held ? null : lock.waiting.shift();
		if (!request) return;
		lock.held = request;
		this.task(`lock ${request.tab.id}`, request.tab, () => {
			Promise.resolve(request.fn()).then(() => {
				if (lock.held === request) { lock.held = null; this.grant(lock); }
			});
		});
	}

	holders() { return this.tabs.filter((tab) => [...this.sources].some((source) => source.tab === tab)); }

	publish(data, type = 'a') {
		const event = { id: `${this.life}.${(++this.count).toString(36)}`, n: this.count, type, data: String(data) };
		this.log.push(event);
		for (const source of this.sources) source.send(event.type, event.data, event.id);
		return event.id;
	}
	get tail() { return this.log.at(-1)?.id ?? `${this.life}.0`; }

	connect(source) {
		this.requests++;
		if (this.down) return source.fail(2);
		this.sources.add(source);
		const from = source.lastEventId || source.url.searchParams.get('last_event_id'), replay = source.url.searchParams.get('replay');
		const connected = (id) => source.send('sse:connected', JSON.stringify({ connection: `c${this.requests}`, user: 'u1', topics: [] }), id);
		const first = this.log[this.trimmed];
		if (!from) {
			const rest = replay ? this.log.slice(this.trimmed).slice(-replay) : [];
			connected(rest.length ? '' : this.tail);
			return rest.forEach(({ type, data, id }) => source.send(type, data, id));
		}
		const at = this.log.findIndex(({ id }) => id === from);
		if (at < this.trimmed - 1 && !(from === `${this.life}.0` && !this.trimmed)) {
			connected('');
			return source.send('sse:gap', JSON.stringify({ reason: 'trimmed', from, to: this.tail, delay: 0 }), this.tail);
		}
		connected(from);
		if (first) for (const { type, data, id } of this.log.slice(Math.max(at + 1, this.trimmed))) source.send(type, data, id);
	}
	drop() { // the server ends all streams, and the browser comes back
		for (const source of [...this.sources]) source.fail(0);
	}
}

// EventSource of a tab in a World.
class TabEventSource extends FakeEventSource {
	constructor(url, init) {
		super(url, init);
		this.tab = world.current;
		this.reconnect();
	}
	reconnect() { world.task(`server ${this.tab.id}`, this.tab, () => { if (this.readyState !== 2) world.connect(this); }); }
	close() { super.close(); world.sources.delete(this); }
	later(fn) { world.task(this, this.tab, () => { if (this.readyState !== 2) fn(); }); }
	send(type, data, id) { this.later(() => super.send(type, data, id)); }
	fail(state) {
		world.sources.delete(this);
		this.later(() => {
			super.fail(state);
			if (state === 0) this.reconnect();
		});
	}
}

class FakeChannel {
	constructor(name) { this.name = name; this.tab = world.current; this.id = world.nextId++; world.channels.add(this); }
	postMessage(message) {
		const data = structuredClone(message);
		for (const to of world.channels) {
			if (to === this || to.name !== this.name) continue;
			world.task(`${this.id}>${to.id}`, to.tab, () => { if (world.channels.has(to)) to.onmessage({ data }); });
		}
	}
	close() { world.channels.delete(this); }
}

export const locks = {
	refused: false,
	request(name, options, fn) {
		const tab = world.current, failed = { catch(fn) { this.fn = fn; } };
		const fail = (error) => world.task(`lock ${tab.id}`, tab, () => failed.fn(error));
		if (locks.refused) { fail(new DOMException('no', 'SecurityError')); return failed; }
		if (!world.locks.has(name)) world.locks.set(name, { held: null, waiting: [] });
		const lock = world.locks.get(name), request = { tab, fn, fail };
		if (options.steal) {
			lock.held?.fail(new DOMException('stolen', 'AbortError'));
			lock.held = null;
			lock.waiting.unshift(request);
		} else {
			lock.waiting.push(request);
			options.signal.addEventListener('abort', () => {
				if (!lock.waiting.includes(request)) return;
				lock.waiting.splice(lock.waiting.indexOf(request), 1);
				fail(options.signal.reason);
			});
		}
		world.grant(lock);
		return failed;
	},
};

export const fakes = {
	EventSource: TabEventSource, BroadcastChannel: FakeChannel, navigator: { locks }, document: undefined, addEventListener: undefined,
	fetch: () => Promise.resolve({ status: world.status ?? 502, headers: new Headers({ 'content-type': 'text/html' }) }),
	queueMicrotask: (fn) => { const tab = world.current; world.task(`micro ${tab.id}`, tab, fn); },
	setTimeout: (fn, ms = 0) => timer(fn, ms, 0), setInterval: (fn, ms) => timer(fn, ms, ms),
	clearTimeout: (id) => world.timers.delete(id), clearInterval: (id) => world.timers.delete(id),
};
function timer(fn, ms, every) {
	const id = world.nextId++;
	world.timers.set(id, { id, tab: world.current, at: world.now + ms, every, fn });
	return id;
}

const real = Object.fromEntries(Object.keys(fakes).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]));
const { now } = Date, { random } = Math;

/** Puts a World in place of what the client uses. */
export function install() {
	for (const [name, value] of Object.entries(fakes)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
	Date.now = () => world.now;
	Math.random = () => world.random();
}

export function uninstall() {
	for (const [name, descriptor] of Object.entries(real)) {
		if (descriptor) Object.defineProperty(globalThis, name, descriptor);
		else delete globalThis[name];
	}
	Date.now = now;
	Math.random = random;
}
