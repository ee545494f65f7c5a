/** What a stream may be opened with. */
export interface Options {
	/** Names that the grant covers, or patterns that it contains. Default: none; the page hears its user's events and broadcasts. */
	topics?: string[];
	/** The position that the page was rendered at, from `GET <prefix>/position`. */
	lastEventId?: string;
	/** How many past events a new client wants. */
	replay?: number;
	/** 16 to 64 letters, digits, `_` and `-`, random, kept by the page: the connection's id is the same after each reconnect. */
	client?: string;
	/**
	 * Gives the URL with a new ticket or token, relative to the page's or the worker's own. Called when the grant of the stream is about to end, and once when the
	 * server has refused it (401).
	 */
	renew?: () => string | URL | null | undefined | Promise<string | URL | null | undefined>;
	/** Send cookies to another origin too. */
	withCredentials?: boolean;
	/**
	 * true: the server sends heartbeats that the page hears, and the stream is opened again when they fail to come. A number: it is
	 * opened again when nothing was heard for so many ms, for apps that publish at regular intervals. Default: off.
	 */
	heartbeat?: true | number;
	/**
	 * One stream for all tabs of the origin. `true`: for those with the same URL, topics and options. A name: for those with the
	 * same name, path, topics and options, whatever the query. Give one that is different for each user. Without Web Locks or
	 * BroadcastChannel, each tab has a stream of its own.
	 */
	share?: boolean | string;
}

/** What a stream is doing. `refused`: the server has said no, for good. `superseded`: another page has taken the place of this client. */
export type State = 'connecting' | 'open' | 'refused' | 'superseded' | 'closed';

/** The events of the stream itself. */
export interface StreamEvents {
	/** The stream is open. `connection` names it to the app, for answers to this page alone. */
	'sse:connected': { connection: string; user: string | null; topics: string[] };
	/** Events are missing that can no longer be delivered: load the state anew, after `delay` ms. */
	'sse:gap': { reason: 'trimmed' | 'lost' | 'unknown' | 'upstream'; from: string; to: string; delay: number };
	/** There is no room at the moment. The browser tries again by itself. */
	'sse:rejected': { reason: string };
	/** Nothing but a newer id to go on from. */
	'sse:position': Record<string, never>;
	/** The app has added or removed topics: these are the current ones. */
	'sse:topics': { topics: string[] };
	/** A newer stream with the same `client` has taken this one's place. */
	'sse:superseded': Record<string, never>;
	/** The stream ends in `in` ms, with its grant. */
	'sse:expiring': { in: number };
	/** The server ends the stream. The browser comes back by itself. */
	'sse:closing': { reason: 'draining' | 'reloaded' | 'expired' | 'disconnected' | 'denied' | 'source' };
	/** A user comes or goes. Only in streams that hear the topic of `presence`. */
	'sse:presence': { user: string; state: 'join' | 'leave' };
	/** The relay has ended, and the stream with it. Only in streams of relays. */
	'sse:end': RelayEnd;
	/** From the client itself: `state` has changed. `wait`: ms until the next attempt. `status`: why the server refused. */
	'sse:state': { state: State; wait?: number; status?: number };
}

/** A stream of events. It is an `EventTarget`, as `EventSource` is. */
export class SsePush extends EventTarget {
	/** Opens the stream at once. */
	constructor(url: string | URL, options?: Options);
	/** What the stream is doing. */
	readonly state: State;
	/** The connection's id. Null while the stream is not open. */
	readonly connection: string | null;
	/** The user that the server knows the client as. Null if it knows none, and until the stream is open. */
	readonly user: string | null;
	/** The topics that the stream hears. */
	readonly topics: string[];
	/** The id to go on from. */
	readonly lastEventId: string | null;
	/** Opens again, now, from the last id. */
	open(): void;
	/** Closes the stream for good. */
	close(): void;
	/** Hears a relay in a stream of its own. `events` are the names that the iterator yields. Default: `message`. */
	relay(id: string, options?: { events?: string[] }): SseRelay;
	/** Calls fn with the data of each event of that name, read as JSON if it is JSON, and with the event. Returns a function that ends it. */
	on<K extends keyof StreamEvents>(name: K, fn: (data: StreamEvents[K], event: MessageEvent<string>) => void): () => void;
	on<T = unknown>(name: string, fn: (data: T, event: MessageEvent<string>) => void): () => void;
}

/** An event of a relay. */
export interface RelayEvent {
	/** The event's name; of a gap, `sse:gap`. */
	type: string;
	/** The event's data. */
	data: string;
	/** The id to go on from. */
	lastEventId: string;
}

/** What a relay's end says. */
export interface RelayEnd {
	/** The relay's id. */
	relay: string;
	/** How it has ended. */
	status: 'complete' | 'cancelled' | 'failed' | 'interrupted';
	/** How many events it had. */
	events: number;
	/** How many bytes of the upstream were read. */
	bytes: number;
}

/** Yields the events of a relay until its end. Leaving the loop closes it. */
export class SseRelay extends SsePush implements AsyncIterable<RelayEvent> {
	/** What the end has said. Null until the end, and if the relay is not known. */
	readonly end: RelayEnd | null;
	/** Yields the events that come from now on. */
	[Symbol.asyncIterator](): AsyncGenerator<RelayEvent, void>;
}
