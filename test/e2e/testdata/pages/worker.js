import { SsePush } from '/clients/js/sse-push.js';

const push = new SsePush('events?userId=ann');
push.on('message', (data) => postMessage(data));
push.on('sse:state', ({ state }) => postMessage(state));
