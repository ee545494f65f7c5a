/** What the connector may be given, beside `broadcaster`. */
export interface ConnectorOptions {
	/** The subscribe path. Default: `/events`. */
	path?: string;
	/** Where the page asks to enter a channel. Default: `/broadcasting/auth`. */
	authEndpoint?: string;
	/** Headers of these requests. */
	auth?: { headers: Record<string, string> };
	/** Laravel's CSRF token. Default: the page's, from its meta tag. */
	csrfToken?: string | null;
	/** A token for `Authorization: Bearer` in these requests. */
	bearerToken?: string | null;
	/** What names of events begin with that do not begin with a dot. Default: `App.Events`. */
	namespace?: string | false;
	/** Send cookies to another origin too. Default: false. */
	withCredentials?: boolean;
	/** Echo passes on all of its options. */
	[key: string]: unknown;
}

/** A broadcaster for Laravel Echo 2.5 and newer: `new Echo({ broadcaster: SsePushConnector, path: '/events' })`. Echo calls it. */
export class SsePushConnector {
	/** Opens the stream at once. */
	constructor(options: ConnectorOptions);
	/** The channels by their names. */
	channels: Record<string, unknown>;
	/** Opens the stream. */
	connect(): void;
	/** Closes the stream. */
	disconnect(): void;
	/** Enters a public channel. */
	channel(name: string): any;
	/** Enters a private channel. */
	privateChannel(name: string): any;
	/** Enters a presence channel. */
	presenceChannel(name: string): any;
	/** Listens for an event of a public channel. */
	listen(name: string, event: string, callback: (payload: any) => void): any;
	/** Leaves a channel, with the private and the presence channel of that name. */
	leave(name: string): void;
	/** Leaves one channel. */
	leaveChannel(name: string): void;
	/** The connection's id. Undefined while the stream is not open. */
	socketId(): string | undefined;
	/** What the connection is doing. */
	connectionStatus(): 'connected' | 'disconnected' | 'connecting' | 'reconnecting' | 'failed';
	/** Calls callback whenever that changes. Returns a function that ends it. */
	onConnectionChange(callback: (status: string) => void): () => void;
}
