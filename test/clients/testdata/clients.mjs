// node clients.mjs <library> <URL>: opens a stream with a library, and prints each event as a line of JSON.
const [library, url] = process.argv.slice(2);
const names = ['message', 'sse:connected', 'sse:gap', 'sse:rejected', 'sse:closing'];
const heard = (type, data = '', id = '') => console.log(JSON.stringify({ type, data: data.slice(0, 100), size: data.length, id }));

const listen = (source) => {
	for (const name of names) source.addEventListener(name, ({ type, data, lastEventId }) => heard(type, data, lastEventId));
	source.onerror = () => {};
};
// These two let Node end while they wait to reconnect, unless something else keeps it.
const listenInServer = (source) => {
	setInterval(() => {}, 60_000);
	listen(source);
};
const load = async (name) => {
	const loaded = await import(name);
	return { ...loaded.default, ...loaded, all: loaded.default };
};
const fetching = async (options) => {
	// It is made for browsers.
	globalThis.window = globalThis;
	globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
	const { fetchEventSource } = await load('@microsoft/fetch-event-source');
	await fetchEventSource(url, { openWhenHidden: true, onmessage: ({ event, data, id }) => heard(event || 'message', data, id), ...options });
};

const open = {
	'eventsource-2': async () => listen(new (await load('eventsource-2')).all(url)),
	'eventsource': async () => listen(new (await load('eventsource')).EventSource(url)),
	'eventsource-4': async () => listen(new (await load('eventsource-4')).EventSource(url)),
	'eventsource-5': async () => listenInServer(new (await load('eventsource-5')).EventSource(url)),
	'undici': async () => listenInServer(new (await load('undici')).EventSource(url)),
	'ai-sdk': async () => {
		const { parseJsonEventStream, jsonSchema } = await load('@ai-sdk/provider-utils');
		const { body } = await fetch(url, { headers: { Accept: 'text/event-stream' } });
		if (!body) return;
		for await (const { value, error } of parseJsonEventStream({ stream: body, schema: jsonSchema({}) })) {
			if (value?.connection) heard('sse:connected', JSON.stringify(value)); // it tells no names
			else if (value?.reason) heard('sse:rejected', JSON.stringify(value));
			else heard('message', error.text);
		}
	},
	'reconnecting-eventsource': async () => {
		globalThis.EventSource = (await load('eventsource')).EventSource;
		const { all } = await load('reconnecting-eventsource');
		listen(new (all.default ?? all)(url));
	},
	'event-source-polyfill': async () => listen(new (await load('event-source-polyfill')).EventSourcePolyfill(url)),
	'fetch-event-source': () => fetching(),
	'fetch-event-source+onclose': () => fetching({ onclose() { throw new Error('come back'); } }),
	'eventsource-client': async () => (await load('eventsource-client')).createEventSource({
		url, onMessage: ({ event, data, id }) => heard(event || 'message', data, id),
	}),
	'extended-eventsource': async () => listen(new (await load('extended-eventsource')).EventSource(url)),
	'launchdarkly-eventsource': async () => listen(new (await load('launchdarkly-eventsource')).EventSource(url)),
	'launchdarkly-eventsource+timeout': async () =>
		listen(new (await load('launchdarkly-eventsource')).EventSource(url, { readTimeoutMillis: 60_000 })),
};
await open[library]();
