// One stream for all tabs of an origin that share it: what `share` in the options of SsePush means.
//
// Tabs of one group use the same name, which is a Web Lock and a BroadcastChannel. The tab with the lock is the holder: it has
// the stream, and posts what the stream brings. The others follow it. They wait for the lock, so that the browser gives it to
// the next one as soon as the holder is closed, crashes, or lets go of it because its page is frozen or goes into the
// back/forward cache.
//
//   away ── join ──> following ── gets the lock ──> holding
//                      │    ^                         │
//             welcomed <┘    └── a newer holder, or its lock was stolen
//
//   message                      by          means
//   hello    n, from, replay     a follower  "I am here, and have everything up to `from`"
//   welcome  to, n, at, …        the holder  the answer: what this tab has missed. From here on it takes events
//   holding                      the holder  it has just begun: all others say hello
//   event, state                 the holder  what its stream brings, and how it is
//   names    names               anyone      an EventSource hears only names that are listened for: the holder listens for all
//   ask, here                    …           a follower has heard nothing for a while; the holder is alive
//   wake                         a follower  the machine was asleep: the stream may be dead
//
// Nothing is lost and nothing comes twice because of positions. They are ordered within a life of the log (`order`), and each
// tab drops what is not after its own last one. A follower takes no event before its welcome, which has all that the holder has
// heard since `from`. The holder keeps some of it. If `from` is older than that, the holder opens its stream again from there,
// and the tabs that know those events drop them. If `from` belongs to another life of the log, the tab gets a gap.
//
// A holder that hangs keeps its lock. A follower that gets no answer steals it. What a holder posts bears its term, which grows
// with each holder, so what a deposed one still posts is dropped.

const LOOK = 10_000;     // how often a follower looks whether the holder is alive, ms
const PATIENCE = 5_000;  // how long the holder may take to answer, ms; up to twice that, so that not all followers act at once
const GATHER = 50;       // how long the holder waits for more tabs before it opens its stream again for one, ms
const YIELD = 500;       // how long a superseded holder waits to hear that it was another tab of its own group, ms
const KEPT = 256;        // how many events the holder keeps at most,
const KEPT_CHARS = 262_144; // and how many characters of data

export class Share {
	/** Where the stream goes on from. A follower that becomes the holder goes on from what it has seen itself. */
	at = null;
	holding = false;

	#name; #page; #channel; #claim; #looker; #doubt; #gathering;
	#tab = Math.random().toString(36).slice(2);
	#term = 0;          // of the holder that this tab follows, or is
	#greeting = 0;      // the number of this tab's last hello
	#welcomed = false;  // that hello was answered
	#heard = 0;         // when the holder last gave a sign of life
	#woken = 0;         // when a follower last said that the machine was asleep: all of them may
	#owed = new Map();  // hellos that the holder has not answered yet, by tab
	#kept = []; #chars = 0;
	#since = null;      // kept events are all that came after this position, up to `at`

	static available() { return !!(globalThis.navigator?.locks && globalThis.BroadcastChannel); }

	/**
	 * page is the SsePush as its Share sees it: `names` (a Set), `last`, `replay`, `welcome` (what the last sse:connected said, or
	 * null while not open), open(), drop(), listen(name), hear(event), say(state, detail), and alone(), which is called if the
	 * browser refuses locks.
	 */
	constructor(name, page) {
		this.#name = 'sse-push/1 ' + name;
		this.#page = page;
	}

	join() {
		this.leave();
		const channel = this.#channel = new BroadcastChannel(this.#name);
		channel.onmessage = ({ data }) => { if (channel === this.#channel) this.#receive(data); };
		this.#looker = setInterval(() => this.#look(), LOOK);
		this.#request();
		this.#greet();
	}

	leave() {
		clearInterval(this.#looker);
		this.#channel?.close();
		this.#channel = undefined;
		this.#letGo();
	}

	/** Posts what the holder's stream brings. Returns whether the tab itself may hear it now. */
	tell({ type, data, lastEventId, origin }) {
		const event = { type, data, lastEventId, origin };
		if (type === 'sse:superseded') {
			// If a tab has stolen the lock, and uses the same `client`, this tab is about to hear of it. If not, all others are to
			// hear this before one of them gets the lock.
			const claim = this.#claim, later = (fn) => setTimeout(() => { if (claim === this.#claim && this.holding) fn(); }, YIELD);
			later(() => {
				this.#post({ type: 'event', event });
				later(() => this.#page.hear(event));
			});
			return false;
		}
		if (type === 'sse:connected' && lastEventId && order(lastEventId, this.at) !== 0) this.#restart(lastEventId);
		else this.#keep(event);
		this.#post({ type: 'event', event });
		return true;
	}

	/** Posts how the holder's stream is. */
	say(state, detail) {
		if (this.holding) this.#post({ type: 'state', state, detail });
		if (state === 'open') this.#settle();
	}

	/** Has the holder listen for a name. */
	listen(name) { this.#post({ type: 'names', names: [name] }); this.#restart(this.at); }

	/** Tells the holder that the machine was asleep. */
	wake() { this.#post({ type: 'wake' }); }

	#post(message) {
		if (this.holding) message.term = this.#term;
		this.#channel?.postMessage({ tab: this.#tab, ...message });
	}

	#request(steal = false) {
		const claim = this.#claim = new AbortController();
		navigator.locks.request(this.#name, steal ? { steal } : { signal: claim.signal }, () => {
			if (claim !== this.#claim) return;
			return new Promise((resolve) => { claim.release = resolve; this.#hold(); });
		}).catch((error) => {
			if (claim !== this.#claim) return;
			if (claim.release || error.name === 'AbortError') this.#follow(); // stolen
			else { this.leave(); this.#page.alone(); }
		});
	}

	#letGo() {
		const claim = this.#claim;
		this.#claim = undefined;
		this.holding = this.#welcomed = false;
		clearTimeout(this.#doubt);
		clearTimeout(this.#gathering);
		this.#doubt = this.#gathering = undefined;
		this.#owed.clear();
		claim?.abort();
		claim?.release?.();
	}

	#hold() {
		clearTimeout(this.#doubt);
		this.#term = Math.max(this.#term + 1, Date.now());
		this.holding = true;
		if (order(this.at, this.#page.last) !== 0) this.#restart(this.#page.last);
		this.#post({ type: 'holding' });
		this.#page.open();
	}

	// There is a newer holder.
	#follow() {
		this.#page.drop();
		this.#letGo();
		this.#request();
		this.#page.say('connecting');
		this.#greet();
	}

	// The page may still be adding its listeners, so it says hello a moment later.
	#greet() {
		const n = ++this.#greeting;
		queueMicrotask(() => {
			if (n !== this.#greeting || this.holding) return;
			this.#post({ type: 'hello', n, from: this.#page.last, replay: this.#page.replay, names: [...this.#page.names] });
		});
	}

	#receive(message) {
		const { type, tab, to, term, names } = message;
		if (to && to !== this.#tab) return;
		if (term < this.#term) return; // of a holder that was deposed
		if (term > this.#term) {
			const settled = this.holding || this.#welcomed;
			this.#term = term;
			if (settled) return this.#follow();
		}
		if (term) this.#heard = Date.now();
		if (names) this.#learn(names);
		if (this.holding) {
			if (type === 'hello' && !(this.#owed.get(tab)?.n > message.n)) { this.#owed.set(tab, message); this.#settle(); }
			if (type === 'ask') this.#post({ type: 'here' });
			if (type === 'wake' && Date.now() - this.#woken > LOOK) { this.#woken = Date.now(); this.#page.open(); }
			return;
		}
		if (type === 'holding') this.#greet();
		if (type === 'welcome' && message.n === this.#greeting && !this.#welcomed) this.#enter(message);
		else if (type === 'event' && this.#welcomed) { this.#keep(message.event); this.#page.hear(message.event); }
		else if (type === 'state' && message.state !== 'open') this.#page.say(message.state, message.detail);
	}

	// What was kept does not have events of names that nobody listened for.
	#learn(names) {
		const added = names.filter((name) => !this.#page.names.has(name));
		if (!added.length) return;
		for (const name of added) this.#page.listen(name);
		this.#restart(this.at);
	}

	// Answers tabs, once the stream is open. If one of them wants what was not kept, the stream goes back for it.
	#settle() {
		if (!this.holding || !this.#page.welcome || this.#gathering) return;
		for (const [tab, { n, from, replay }] of this.#owed) {
			const answer = this.#answer(from, replay);
			if (!answer) continue;
			this.#owed.delete(tab);
			this.#welcome(tab, n, { at: this.at, connected: this.#page.welcome, ...answer });
		}
		if (this.#owed.size) this.#gathering = setTimeout(() => this.#goBack(), GATHER);
	}

	#goBack() {
		this.#gathering = undefined;
		const older = [...this.#owed].filter(([, { from, replay }]) => !this.#answer(from, replay));
		if (older.length) {
			this.#restart(older.map(([, { from }]) => from).reduce((a, b) => (order(b, a) < 0 ? b : a)));
			for (const [tab, { n, from }] of older) {
				this.#owed.delete(tab);
				this.#welcome(tab, n, { at: from });
			}
			this.#page.open();
		}
		this.#settle();
	}

	#welcome(to, n, answer) {
		this.#post({ type: 'welcome', to, n, names: [...this.#page.names], ...answer });
	}

	// Returns the events that a tab has missed, and a gap if that cannot be said; nothing if the stream would have to go back.
	#answer(from, replay) {
		const { at } = this;
		if (!from) return { events: replay ? this.#kept.slice(-replay) : [] };
		if (order(from, at) >= 0) return { events: [] };
		if (order(from, this.#since) >= 0) {
			return { events: this.#kept.slice(this.#kept.findLastIndex(({ lastEventId }) => order(lastEventId, from) <= 0) + 1) };
		}
		if (order(from, at) < 0) return null;
		return { events: [], gap: { reason: 'unknown', from, to: at ?? '', delay: Math.round(Math.random() * 1_000) } };
	}

	#enter({ at, connected, events = [], gap }) {
		const hear = (type, data, lastEventId) => this.#page.hear({ type, data: JSON.stringify(data), lastEventId });
		this.#welcomed = true;
		this.#restart(gap ? at : this.#page.last ?? (events.length ? null : at));
		if (connected) hear('sse:connected', connected, gap ? '' : this.at ?? '');
		if (gap) hear('sse:gap', gap, at ?? '');
		for (const event of events) { this.#keep(event); this.#page.hear(event); }
	}

	#restart(at) {
		this.at = this.#since = at;
		this.#kept = [];
		this.#chars = 0;
	}

	#keep(event) {
		const { type, data, lastEventId } = event;
		if (seen(event, this.at)) return;
		if (lastEventId && !(order(lastEventId, this.at) < 0)) this.at = lastEventId;
		if (type.startsWith('sse:') && !['sse:gap', 'sse:presence'].includes(type)) return;
		this.#kept.push(event);
		this.#chars += data.length;
		while (this.#kept.length > Math.max(KEPT, this.#page.replay) || this.#chars > KEPT_CHARS) {
			const oldest = this.#kept.shift();
			this.#since = oldest.lastEventId;
			this.#chars -= oldest.data.length;
		}
	}

	#look() {
		const asked = Date.now();
		if (this.holding) return;
		if (!this.#welcomed) this.#greet();
		if (asked - this.#heard < LOOK) return;
		this.#post({ type: 'ask' });
		clearTimeout(this.#doubt);
		const wait = PATIENCE * (1 + Math.random());
		this.#doubt = setTimeout(() => {
			// If the time was much longer, this tab was asleep itself, and answers may be waiting for it.
			if (this.#heard >= asked || Date.now() - asked > wait + PATIENCE) return;
			this.#letGo();
			this.#request(true);
		}, wait);
	}
}

/**
 * Compares two ids: negative, 0 or positive, and undefined if they have no order: a position is
 * `<life of the log>.[<major>-]<minor>[.<check>][~<the app's id>]`, in base 36.
 */
export function order(a, b) {
	const [p, q] = [a, b].map((id) => /^([0-9a-z]+)\.(?:([0-9a-z]+)-)?([0-9a-z]+)/.exec(id?.split('~')[0] ?? ''));
	if (!p || !q || p[1] !== q[1]) return undefined;
	return number(p[2], q[2]) || number(p[3], q[3]);
}

// Numbers without leading zeros: the longer is the larger.
function number(a = '', b = '') {
	return a.length - b.length || (a < b ? -1 : +(a > b));
}

/** Reports whether an event comes again to a tab that has everything up to `last`. What the stream says of itself is heard each time. */
export function seen({ type, lastEventId }, last) {
	const o = order(lastEventId, last);
	if (type === 'sse:gap') return o < 0;
	return o <= 0 && (!type.startsWith('sse:') || type === 'sse:presence' || type === 'sse:position');
}
