// A worker, classic or a module, that listens in one of the ways of listen.js, and tells its page again and again what it has heard.
const [how, url] = JSON.parse(name);
import('/listen.js').then((ways) => {
	const heard = ways[how](url);
	setInterval(() => postMessage(heard.events), 50);
});
