// For pages and workers. Each returns what it has heard so far: a plain EventSource, and our client.
import { SsePush } from '/clients/js/sse-push.js';

export function native(url, options) {
	const heard = { events: [], errors: 0 };
	const source = heard.source = new EventSource(url, options);
	for (const name of ['message', 'sse:connected', 'sse:gap', 'sse:position', 'sse:rejected', 'sse:superseded']) {
		source.addEventListener(name, ({ type, data, lastEventId }) => heard.events.push({ type, data, id: lastEventId }));
	}
	source.onerror = () => heard.errors++;
	return heard;
}

export function ours(url, options) {
	const heard = { events: [], states: [] };
	const push = heard.push = new SsePush(url, options);
	for (const name of ['message', 'sse:connected', 'sse:gap']) {
		push.on(name, (data, { type, lastEventId }) => heard.events.push({ type, data: JSON.stringify(data), id: lastEventId }));
	}
	push.on('sse:state', ({ state, status, wait }) => heard.states.push(state + (status ? ' ' + status : wait ? ' again' : '')));
	return heard;
}
