// A broadcaster for Laravel Echo 2.5 and newer, over one SsePush for all channels of the page.
//
//   import Echo from 'laravel-echo';
//   import { SsePushConnector } from '@sse-push/client/echo';
//   const echo = new Echo({ broadcaster: SsePushConnector, path: '/events' });
//
// Public channels are topics of the stream. Guarded ones are added to its connection by the app, which /broadcasting/auth asks.
// Echo's other options work as usual: authEndpoint, auth.headers, csrfToken, bearerToken, namespace.

import { Channel, EventFormatter } from 'laravel-echo';
import { SsePush } from './sse-push.js';

const guarded = (name) => /^(private|presence)-/.test(name);
// As SsePush::escape() does in PHP.
const escape = (name) => name.replace(/[%/*\p{Cc}]/gu, (c) => [...new TextEncoder().encode(c)].map((b) => `%${b.toString(16).toUpperCase().padStart(2, '0')}`).join(''));
const topicOf = (name) => `${guarded(name) ? 'guarded' : 'public'}/${escape(name)}`;

class SsePushChannel extends Channel {
	#connector; #formatter;
	#listeners = new Map(); // of events, by their full names
	#everything = new Set();
	#subscribed = new Set();
	#failed = new Set();
	#in = false;

	constructor(connector, name) {
		super();
		this.name = name;
		this.options = connector.options;
		this.#connector = connector;
		this.#formatter = new EventFormatter(connector.options.namespace);
	}

	listen(event, callback) { return this.on(this.#formatter.format(event), callback); }

	stopListening(event, callback) {
		const name = this.#formatter.format(event);
		if (callback) this.#listeners.get(name)?.delete(callback);
		else this.#listeners.delete(name);
		return this;
	}

	listenToAll(callback) { this.#everything.add(callback); return this; }

	stopListeningToAll(callback) {
		if (callback) this.#everything.delete(callback);
		else this.#everything.clear();
		return this;
	}

	/** Listens to an event by its full name. */
	on(name, callback) {
		if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
		this.#listeners.get(name).add(callback);
		return this;
	}

	subscribed(callback) {
		this.#subscribed.add(callback);
		if (this.#in) callback();
		return this;
	}

	error(callback) { this.#failed.add(callback); return this; }

	/** Sends an event to the other members of a guarded channel, without code in the app. */
	whisper(event, data) {
		this.#connector.whisper(this.name, event, data).catch((error) => this.fail(error));
		return this;
	}

	/** @internal */
	hear(event, payload) {
		for (const callback of [...(this.#listeners.get(event) ?? [])]) callback(payload);
		for (const callback of [...this.#everything]) callback(event, payload);
	}

	/** @internal */
	enter() {
		if (this.#in) return;
		this.#in = true;
		for (const callback of this.#subscribed) callback();
	}

	/** @internal */
	fail(error) { for (const callback of this.#failed) callback(error); }
}

class SsePushPresenceChannel extends SsePushChannel {
	#members = new Map(); // their info, by their ids
	#gone = new Map();    // of users who have lost their connection, and may be back
	#here = new Set();
	#joining = new Set();
	#leaving = new Set();

	here(callback) {
		this.#here.add(callback);
		if (this.#members.size) callback([...this.#members.values()]);
		return this;
	}

	joining(callback) { this.#joining.add(callback); return this; }
	leaving(callback) { this.#leaving.add(callback); return this; }

	/** @internal */
	enter(answer) {
		super.enter();
		if (!answer?.here) return;
		this.#members = new Map(answer.here.map(({ id, info }) => [id, info]));
		for (const callback of this.#here) callback([...this.#members.values()]);
	}

	/** @internal */
	hear(event, payload) {
		if (event === 'sse_push:joining') this.#join(payload.id, payload.info);
		else if (event === 'sse_push:leaving') this.#leave(payload.id);
		else super.hear(event, payload);
	}

	/** @internal The proxy says that a user has come, or has left with the last page. */
	presence({ user, state }) {
		if (state === 'join' && this.#gone.has(user)) this.#join(user, this.#gone.get(user));
		if (state === 'leave' && this.#members.has(user)) {
			this.#gone.set(user, this.#members.get(user));
			this.#leave(user);
		}
	}

	#join(id, info) {
		this.#gone.delete(id);
		if (this.#members.has(id)) return;
		this.#members.set(id, info);
		for (const callback of this.#joining) callback(info);
	}

	#leave(id) {
		if (!this.#members.has(id)) return;
		const info = this.#members.get(id);
		this.#members.delete(id);
		for (const callback of this.#leaving) callback(info);
	}
}

export class SsePushConnector {
	channels = {};
	#push = null;
	#client = randomName();
	#lastEventId;
	#reopening = false;
	#status = 'disconnected';
	#watchers = new Set();

	constructor(options) {
		this.options = { path: '/events', authEndpoint: '/broadcasting/auth', namespace: 'App.Events', ...options, auth: { headers: {}, ...options.auth } };
		this.connect();
	}

	connect() { this.#open(); }

	disconnect() {
		this.#lastEventId = this.#push?.lastEventId;
		this.#push?.close();
		this.#push = null;
		this.#become('disconnected');
	}

	listen(name, event, callback) { return this.channel(name).listen(event, callback); }
	channel(name) { return this.#join(name, SsePushChannel); }
	privateChannel(name) { return this.#join(`private-${name}`, SsePushChannel); }
	presenceChannel(name) { return this.#join(`presence-${name}`, SsePushPresenceChannel); }

	leave(name) {
		for (const channel of [name, `private-${name}`, `presence-${name}`]) this.leaveChannel(channel);
	}

	leaveChannel(name) {
		if (!this.channels[name]) return;
		delete this.channels[name];
		if (!guarded(name)) this.#reopen();
		else if (this.socketId()) this.#ask(name, { leave: true }).catch(() => {}); // the connection's end leaves it as well
	}

	socketId() { return this.#push?.connection ?? undefined; }
	connectionStatus() { return this.#status; }

	onConnectionChange(callback) {
		this.#watchers.add(callback);
		return () => this.#watchers.delete(callback);
	}

	/** @internal */
	whisper(name, event, data) {
		const id = this.socketId();
		if (!id) return Promise.reject(new Error('not connected'));
		return this.#post(`${this.options.path.split('?')[0]}/${id}`, { channel_name: name, event, data });
	}

	#join(name, kind) {
		if (!this.channels[name]) {
			this.channels[name] = new kind(this, name);
			if (!guarded(name)) this.#reopen();
			else if (this.socketId()) this.#enter(name);
		}
		return this.channels[name];
	}

	// The app adds the channel to the connection, if its user may hear it.
	async #enter(name) {
		const channel = this.channels[name];
		try {
			const answer = await this.#ask(name);
			if (this.channels[name] === channel) channel.enter(answer);
		} catch (error) {
			channel.fail(error);
		}
	}

	#ask(name, more = {}) { return this.#post(this.options.authEndpoint, { socket_id: this.socketId(), channel_name: name, ...more }); }

	async #post(url, body) {
		const { auth, bearerToken } = this.options, headers = { 'Content-Type': 'application/json', Accept: 'application/json', ...auth.headers };
		const token = this.#csrfToken();
		if (token) headers['X-CSRF-TOKEN'] = token;
		if (bearerToken) headers.Authorization = `Bearer ${bearerToken}`;
		const response = await fetch(url, { method: 'POST', credentials: 'include', headers, body: JSON.stringify(body) });
		if (!response.ok) throw Object.assign(new Error(`${url}: ${response.status}`), { status: response.status });
		return response.status === 204 ? null : response.json();
	}

	#csrfToken() {
		return this.options.csrfToken ?? globalThis.Laravel?.csrfToken ?? globalThis.document?.querySelector('meta[name="csrf-token"]')?.getAttribute('content');
	}

	// Public channels are in the URL: when they change, the stream is opened anew and goes on after its last id. What many
	// calls change at once is one reopening.
	#reopen() {
		if (this.#reopening || !this.#push) return;
		this.#reopening = true;
		queueMicrotask(() => {
			this.#reopening = false;
			if (this.#push) this.#open();
		});
	}

	#open() {
		const topics = Object.keys(this.channels).filter((name) => !guarded(name)).map(topicOf);
		const lastEventId = this.#push?.lastEventId ?? this.#lastEventId;
		this.#push?.close();
		const push = this.#push = new SsePush(this.options.path, { topics, lastEventId, client: this.#client, withCredentials: this.options.withCredentials });
		const mine = (f) => (...args) => { if (push === this.#push) f(...args); };
		push.on('sse:connected', mine(({ topics }) => {
			for (const [name, channel] of Object.entries(this.channels)) {
				if (!guarded(name)) channel.enter();
				else if (!topics.includes(topicOf(name))) this.#enter(name); // a proxy that remembers the client has it still
			}
		}));
		push.on('laravel', mine(({ channel, event, payload }) => this.channels[channel]?.hear(event, payload)));
		push.on('sse:presence', mine((change) => {
			for (const channel of Object.values(this.channels)) channel.presence?.(change);
		}));
		push.on('sse:gap', mine((gap) => {
			for (const channel of Object.values(this.channels)) channel.hear('sse:gap', gap);
		}));
		push.addEventListener('sse:state', mine(() => this.#become({
			open: 'connected', refused: 'failed', connecting: this.#status === 'disconnected' ? 'connecting' : 'reconnecting',
		}[push.state] ?? 'disconnected')));
		if (this.#status !== 'connected') this.#become('connecting');
	}

	#become(status) {
		if (status === this.#status) return;
		this.#status = status;
		for (const callback of this.#watchers) callback(status);
	}
}

function randomName() {
	return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');
}
