// A thin layer over EventSource, which goes on when EventSource gives up. The server does not require it.
//
//   const push = new SsePush('/events', { topics: ['room'] });
//   push.on('order', (order, event) => …);                   // data read as JSON where it is JSON
//   push.on('sse:gap', ({ delay }) => setTimeout(refetch, delay));
//   push.on('sse:state', ({ state }) => …);                  // connecting, open, refused, superseded, closed
//   for await (const { data } of push.relay('chat-7-42')) …  // a stream that the app has the proxy fetch, to its end
//
// As with EventSource, a listener hears only events of its name; events without a name have the name `message`. Names that
// start with `sse:` are the server's.

import { Share, order, seen } from './share.js';

const FIRST = 1_000, LAST = 30_000; // the shortest and the longest wait before a reopening, ms
const LATE_BEAT = 5_000;            // how much later than announced a heartbeat may come, ms
const TICK = 20_000;                // how often to look whether the page was asleep, ms
const LATE = 30_000;                // a look that comes this long after the one before: the page was asleep
const LATE_HIDDEN = 75_000;         // the same for a hidden page, whose timers browsers slow down to one a minute
const MISSING = 60_000;             // how long a 404 that is not the server's own may last: a front that restarts answers so, too
const FINAL = [204, 400, 401, 403];

export class SsePush extends EventTarget {
	/** connecting, open, refused (the server has said no, for good), superseded (another page has taken this client's place) or closed */
	state = 'closed';
	/** What sse:connected said: this connection's id, its user, its topics. The id is null while not open. */
	connection = null;
	user = null;
	topics = [];
	/** The id to go on from, so far. */
	lastEventId;

	#url; #options; #source; #retry; #probe; #page; #ticker;
	#away = false; // frozen, or in the back/forward cache
	#missing = 0; // since when the answer has been 404
	#attempts = 0;
	#share; // with the option `share`, if the browser can
	#renewal = null; // the one under way
	#renewed = false; // since the stream was open last
	#ticked = 0;
	#heard = 0;
	#patience = null; // how long a stream with heartbeats may be silent, ms; null before the first
	#names = new Set(['sse:connected', 'sse:gap', 'sse:position', 'sse:topics', 'sse:rejected', 'sse:expiring', 'sse:superseded', 'sse:closing', 'sse:heartbeat']);

	/**
	 * Opens at once. Options: `topics`; `lastEventId`, the position a page was rendered at; `replay`, how many
	 * past events a new client wants; `client`, a random name that the page keeps: the connection's id is then the same after each
	 * reconnect; `withCredentials`; `renew`, a function that gives (or promises) the URL with a new ticket or token: it is called
	 * when the grant of the stream is about to end, and once when it has ended; `share`: one stream for all tabs with the same URL,
	 * topics and options, or, if it is a name, with the same name, path, topics and options, whatever the query; `heartbeat`: if
	 * true, the server sends heartbeats that the page hears, and the stream is opened again when they fail to come (in WebKit,
	 * nothing else shows that a connection over HTTP/2 is dead); if a number of ms, the stream is opened again when nothing was
	 * heard for so long, for apps that publish at regular intervals.
	 */
	constructor(url, options = {}) {
		super();
		this.#url = absolute(url);
		this.#options = options;
		this.lastEventId = options.lastEventId ?? null;
		if (options.share && Share.available()) this.#share = this.#join();
		this.open();
	}

	/** Opens again, now, from the last id: after close(), after a refusal (a new login), or at any time. */
	open() {
		this.#attempts = this.#missing = 0;
		this.#away = this.#renewed = false;
		this.#watch();
		this.#begin();
	}

	close() { this.#stop('closed'); }

	/**
	 * Hears a relay, in a stream of its own, from its first event to its end. It is an SsePush, so `on` works as ever, and an
	 * async iterator of the events whose names are in `events`. Leaving the loop closes it.
	 */
	relay(id, { events } = {}) {
		const { withCredentials, renew, heartbeat } = this.#options;
		return new SseRelay(this.#url, { withCredentials, renew, heartbeat, relay: id }, events);
	}

	/** Calls fn(data, event) for each event of that name; returns a function that ends it. */
	on(name, fn) {
		const listener = (event) => fn(read(event.data), event);
		this.addEventListener(name, listener);
		return () => this.removeEventListener(name, listener);
	}

	addEventListener(name, listener, options) {
		super.addEventListener(name, listener, options);
		// These three are not the server's: EventSource's own two, and ours.
		if (['open', 'error', 'sse:state'].includes(name)) return;
		if (!this.#names.has(name)) this.#share?.listen(name);
		this.#listen(name);
	}

	#listen(name) {
		this.#names.add(name);
		this.#source?.addEventListener(name, this.#relay);
	}

	// Opens a stream, or joins the tabs that share one: then this page opens it only when it becomes their holder.
	#begin() {
		this.#ticked = Date.now();
		if (!this.#share || this.#share.holding) return this.#connect();
		this.#say('connecting');
		this.#share.join();
	}

	#join() {
		const { topics = [], replay = 0, share, withCredentials } = this.#options, { origin, pathname, href } = new URL(this.#url), page = this;
		const name = [share === true ? href : origin + pathname, share, [...topics].sort(), replay, !!withCredentials];
		return new Share(JSON.stringify(name), {
			replay,
			names: this.#names,
			get last() { return page.lastEventId; },
			get welcome() { return page.state === 'open' ? { connection: page.connection, user: page.user, topics: page.topics } : null; },
			open: () => this.#connect(),
			drop: () => this.#drop(),
			listen: (name) => this.#listen(name),
			hear: (event) => this.#hear(event),
			say: (state, detail) => this.#say(state, detail),
			alone: () => { this.#share = undefined; this.#connect(); },
		});
	}

	#connect() {
		this.#drop();
		const source = this.#source = new EventSource(this.#address(), { withCredentials: !!this.#options.withCredentials });
		for (const name of this.#names) source.addEventListener(name, this.#relay);
		source.onerror = () => {
			if (source !== this.#source) return source.close(); // WebKit reopens on Back what the page closed as it left
			if (source.readyState === EventSource.CLOSED) this.#fail();
			else if (controlled()) { this.#drop(); this.#again(); }
			else this.#say('connecting'); // the browser comes back by itself, after the time it was told
		};
		this.#ticked = Date.now();
		this.#say('connecting');
	}

	#address() {
		const url = new URL(this.#url), { topics = [], replay, client, relay, heartbeat } = this.#options;
		for (const topic of topics) url.searchParams.append('topic', topic);
		if (client) url.searchParams.set('client', client);
		if (relay) url.searchParams.set('relay', relay);
		if (heartbeat === true) url.searchParams.set('heartbeat', '');
		const from = this.#share ? this.#share.at : this.lastEventId;
		if (from) url.searchParams.set('last_event_id', from);
		else if (replay) url.searchParams.set('replay', replay);
		return url.href;
	}

	#relay = (event) => {
		if (event.target !== this.#source) return event.target.close();
		this.#heard = Date.now();
		if (event.type === 'sse:heartbeat') { // not the app's
			this.#patience = JSON.parse(event.data).next + LATE_BEAT;
			return;
		}
		if (event.type === 'sse:connected') {
			this.#attempts = this.#missing = 0;
			this.#renewed = false;
		}
		if (event.type === 'sse:expiring' && this.#options.renew) this.#renew();
		if (!this.#share || this.#share.tell(event)) this.#hear(event);
	};

	// An event of this page's stream, or of the one that it shares.
	#hear(event) {
		const { type, data, lastEventId, origin } = event;
		if (this.#share && seen(event, this.lastEventId)) return;
		if (lastEventId && !(this.#share && order(lastEventId, this.lastEventId) < 0)) this.lastEventId = lastEventId;
		if (type === 'sse:connected') {
			({ connection: this.connection, user: this.user, topics: this.topics } = JSON.parse(data));
			this.#say('open');
		}
		if (type === 'sse:topics') ({ topics: this.topics } = JSON.parse(data));
		if (type === 'sse:superseded') this.#stop('superseded'); // or the two pages would take it from each other in turn
		this.dispatchEvent(new MessageEvent(type, { data, lastEventId, origin }));
	}

	// Opens anew after a wait, which is longer each time.
	#again() {
		const wait = Math.round(FIRST + Math.random() * (Math.min(LAST, FIRST * 2 ** ++this.#attempts) - FIRST));
		this.#retry = setTimeout(() => this.#connect(), wait);
		this.#say('connecting', { wait });
	}

	// The browser has given up: a status other than 200, which it keeps to itself. Wait, and ask meanwhile whether it is for
	// good; no answer before the wait is over counts as no. A 404 is for good if it is the server's own, or if it has lasted.
	#fail() {
		this.#drop();
		const { signal } = this.#probe = new AbortController();
		const ask = (credentials) => fetch(this.#address(), {
			method: 'HEAD', cache: 'no-store', signal, credentials, headers: { Accept: 'text/event-stream' },
		});
		// A page whose origin may not subscribe may read that, a 403, without credentials.
		const refused = (answer) => answer.status === 403 ? answer : Promise.reject(answer);
		const answer = this.#options.withCredentials ? ask('include').catch(() => ask('omit').then(refused)) : ask('same-origin');
		answer.then(({ status, headers }) => {
			if (signal.aborted) return;
			if (status !== 404) this.#missing = 0;
			else if (!headers.get('content-type')?.startsWith('application/problem+json')) {
				if (Date.now() - (this.#missing ||= Date.now()) < MISSING) return;
			}
			if (status !== 404 && !FINAL.includes(status)) return;
			if (status === 401 && this.#options.renew && !this.#renewed) this.#renew();
			else this.#stop('refused', { status });
		}, () => {});
		this.#again();
	}

	// Opens anew, from the last id, with the URL that renew gives. If renew gives none, or fails, which is reported, nothing
	// changes: the stream goes on until its end, and then the attempts begin.
	async #renew() {
		const renewal = this.#renewal ??= (async () => this.#options.renew())();
		this.#renewed = true;
		try {
			const url = await renewal;
			if (renewal !== this.#renewal || !url) return;
			this.#url = absolute(url);
			if (this.#source || this.#retry) this.#connect(); // neither: closed, or the page is away
		} catch (error) {
			if (renewal === this.#renewal) console.error('SsePush: renew:', error);
		} finally {
			if (renewal === this.#renewal) this.#renewal = null;
		}
	}

	// A stream that died while the page was asleep sends no error. So a page that comes back from the back/forward cache, from
	// being frozen, from a sleep or from another network opens a new one: with the last id that costs one request and loses
	// nothing. A page in view notices a sleep by a late timer. A hidden one has slow timers anyway: it is believed to have
	// slept after a longer time, or, once it is in view again, after the same.
	#watch() {
		if (this.#page) return;
		const { signal } = this.#page = new AbortController(), { document } = globalThis, { heartbeat } = this.#options;
		const listen = (target, name, fn) => target?.addEventListener?.(name, fn, { signal });
		const leave = () => { this.#away = true; this.#drop(); this.#share?.leave(); this.#say('connecting'); };
		const back = () => { if (this.#away) { this.#away = false; this.#begin(); } };
		listen(globalThis, 'pagehide', leave);
		listen(globalThis, 'pageshow', back);
		listen(document, 'freeze', leave);
		listen(document, 'resume', back);
		listen(globalThis, 'online', () => { if (this.#source || this.#retry) this.#connect(); });
		listen(document, 'visibilitychange', () => { if (document.visibilityState === 'visible') this.#tick(); });
		this.#ticker = setInterval(() => this.#tick(), Math.min(TICK, heartbeat === true ? TICK : heartbeat / 2 || TICK));
	}

	#tick() {
		const now = Date.now(), { heartbeat } = this.#options;
		const asleep = now - this.#ticked > (globalThis.document?.visibilityState === 'hidden' ? LATE_HIDDEN : LATE);
		const patience = heartbeat === true ? this.#patience : heartbeat;
		const silent = patience && this.state === 'open' && now - this.#heard > patience;
		this.#ticked = now;
		if (this.#source && (asleep || silent)) this.#connect();
		else if (asleep) this.#share?.wake();
	}

	#drop() {
		this.#source?.close();
		clearTimeout(this.#retry);
		this.#probe?.abort();
		this.#source = this.#retry = this.#probe = undefined;
	}

	#stop(state, detail) {
		this.#drop();
		this.#share?.leave();
		this.#page?.abort();
		clearInterval(this.#ticker);
		this.#page = undefined;
		this.#say(state, detail);
	}

	#say(state, detail) {
		if (state !== 'open') this.connection = null;
		if (state === this.state && !detail) return;
		this.state = state;
		this.#share?.say(state, detail);
		this.dispatchEvent(new MessageEvent('sse:state', { data: JSON.stringify({ state, ...detail }) }));
	}
}

/** A relay, as SsePush.relay() gives it. */
export class SseRelay extends SsePush {
	/** What sse:end said: its status, and how many events and bytes it had. Null until then, and if the relay is not known. */
	end = null;

	#names; #waiting = []; #wake;

	constructor(url, options, events = ['message']) {
		super(url, options);
		this.#names = events;
		this.on('sse:end', (end) => { this.end = end; this.close(); });
		this.addEventListener('sse:state', () => this.#wake?.());
	}

	/** Yields the events that come from now on, as `{ type, data, lastEventId }`, and a gap as one of the type `sse:gap`. */
	[Symbol.asyncIterator]() {
		const take = ({ type, data, lastEventId }) => { this.#waiting.push({ type, data, lastEventId }); this.#wake?.(); };
		for (const name of [...this.#names, 'sse:gap']) this.addEventListener(name, take);
		return this.#iterate();
	}

	async *#iterate() {
		const over = () => ['closed', 'refused', 'superseded'].includes(this.state);
		try {
			for (;;) {
				while (this.#waiting.length) yield this.#waiting.shift();
				if (over()) return;
				await new Promise((resolve) => { this.#wake = resolve; });
			}
		} finally {
			if (!over()) this.close();
		}
	}
}

// Resolves a URL against that of the page or the worker. A worker made from a blob has no path of its own.
function absolute(url) {
	const { document, location } = globalThis;
	return new URL(url, document?.baseURI ?? (location?.protocol === 'blob:' ? location.origin : location?.href)).href;
}

// Reports whether a service worker may stand between the page, or the worker, and the server. Behind one, Chromium reconnects
// without the last id. Workers cannot see it.
function controlled() {
	const { navigator, isSecureContext, document } = globalThis;
	return navigator?.serviceWorker ? !!navigator.serviceWorker.controller : !!isSecureContext && !document;
}

function read(data) {
	try { return JSON.parse(data); } catch { return data; }
}
