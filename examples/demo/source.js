// The second way: a stream of the app's that all who listen share.

import { $, api } from './page.js';

let clock; // while this page listens

$('listen').addEventListener('click', () => {
	if (clock) return stop('');
	clock = new EventSource('/clock');
	clock.onmessage = tick;
	clock.onerror = ({ target }) => {
		if (target.readyState === EventSource.CLOSED) stop('No clock: the stand-in for an app does not answer. `make run` starts it.');
		else $('clock').textContent = 'Connecting …'; // the browser does it by itself
	};
	show('Connecting …');
});

function stop(why) {
	clock.close();
	clock = undefined;
	show(why);
}

function show(text) {
	$('clock').textContent = text;
	$('listen').textContent = clock ? 'Stop listening' : 'Listen to the clock';
	$('shared').hidden = !clock;
}

async function tick({ data }) {
	const { time, streams } = JSON.parse(data);
	$('clock').textContent = `The app says: ${time}`;
	$('streams').textContent = streams;
	const { sources } = await api('GET', 'sources').catch(() => ({}));
	$('listeners').textContent = sources?.find(({ path }) => path === '/clock')?.listeners ?? '–';
}

$('curl-clock').textContent = `curl -N -H 'Accept: text/event-stream' ${location.origin}/clock`;
