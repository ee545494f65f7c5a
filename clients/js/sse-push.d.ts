export interface Options {
	/** Names within the grant, or patterns that the grant holds literally. Default: none, the user's own events and broadcasts. */
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

export type State = 'connecting' | 'open' | 'refused' | 'superseded' | 'closed';

/** The events of the stream itself. */
export interface StreamEvents {
	'sse:connected': { connection: string; user: string | null; topics: string[] };
	/** Events are missing that cannot be given any more: refetch, after `delay` ms. */
	'sse:gap': { reason: 'trimmed' | 'lost' | 'unknown' | 'upstream'; from: string; to: string; delay: number };
	/** Not now; the browser tries again after the time it was told. */
	'sse:rejected': { reason: string };
	'sse:position': Record<string, never>;
	/** The app has added or removed topics: these are the ones now. */
	'sse:topics': { topics: string[] };
	/** A newer stream with the same `client` has taken this one's place. */
	'sse:superseded': Record<string, never>;
	/** The stream ends in so many ms, with its grant. */
	'sse:expiring': { in: number };
	/** The server ends the stream, for this reason; the browser comes back by itself after the time it was told. */
	'sse:closing': { reason: 'draining' | 'reloaded' | 'expired' | 'disconnected' | 'denied' | 'source' };
	/** `wait`: ms until the next attempt. `status`: why the server refused. */
	'sse:state': { state: State; wait?: number; status?: number };
}

export class SsePush extends EventTarget {
	constructor(url: string | URL, options?: Options);
	readonly state: State;
	/** Null while not open. */
	readonly connection: string | null;
	readonly user: string | null;
	readonly topics: string[];
	readonly lastEventId: string | null;
	/** Opens again, now, from the last id. */
	open(): void;
	close(): void;
	/** Hears a relay in a stream of its own. `events` are the names that the iterator yields. Default: `message`. */
	relay(id: string, options?: { events?: string[] }): SseRelay;
	/** Calls fn with the data, read as JSON where it is JSON, and the event. Returns a function that ends it. */
	on<K extends keyof StreamEvents>(name: K, fn: (data: StreamEvents[K], event: MessageEvent<string>) => void): () => void;
	on<T = unknown>(name: string, fn: (data: T, event: MessageEvent<string>) => void): () => void;
}

/** An event of a relay. Of a gap, the type is `sse:gap`. */
export interface RelayEvent { type: string; data: string; lastEventId: string }

/** What a relay's end says. */
export interface RelayEnd { relay: string; status: 'complete' | 'cancelled' | 'failed' | 'interrupted'; events: number; bytes: number }

/** Yields the events of a relay until its end. Leaving the loop closes it. */
export class SseRelay extends SsePush implements AsyncIterable<RelayEvent> {
	/** Null until the end, and if the relay is not known. */
	readonly end: RelayEnd | null;
	[Symbol.asyncIterator](): AsyncGenerator<RelayEvent, void>;
}
