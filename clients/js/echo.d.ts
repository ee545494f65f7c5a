/** A broadcaster for Laravel Echo 2.5 and newer: `new Echo({ broadcaster: SsePushConnector, path: '/events' })`. */
export class SsePushConnector {
	constructor(options: {
		/** The subscribe path. Default: `/events`. */
		path?: string;
		/** Default: `/broadcasting/auth`. */
		authEndpoint?: string;
		auth?: { headers: Record<string, string> };
		csrfToken?: string | null;
		bearerToken?: string | null;
		/** Default: `App.Events`. */
		namespace?: string | false;
		/** Send cookies to another origin too. */
		withCredentials?: boolean;
		[key: string]: unknown;
	});
	channels: Record<string, unknown>;
	connect(): void;
	disconnect(): void;
	channel(name: string): any;
	privateChannel(name: string): any;
	presenceChannel(name: string): any;
	listen(name: string, event: string, callback: (payload: any) => void): any;
	leave(name: string): void;
	leaveChannel(name: string): void;
	socketId(): string | undefined;
	connectionStatus(): 'connected' | 'disconnected' | 'connecting' | 'reconnecting' | 'failed';
	onConnectionChange(callback: (status: string) => void): () => void;
}
