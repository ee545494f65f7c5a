// SPDX-License-Identifier: Apache-2.0
// Fills the lists of live events. Lists with the same URL share a stream.
(() => {
	const streams = new Map();

	function show(list, data) {
		const { field, most } = list.dataset;
		let value = data;
		try { value = JSON.parse(data); } catch { /* a text */ }
		const item = document.createElement('li');
		let into = item;
		if (typeof value?.url === 'string' && /^https?:\/\//.test(value.url)) {
			into = item.appendChild(document.createElement('a'));
			into.href = value.url;
		}
		into.textContent = typeof value === 'object' && value !== null ? value[field] ?? '' : value; // never as HTML
		list.querySelector('.empty')?.remove();
		list.prepend(item);
		while (list.children.length > Number(most)) list.lastElementChild.remove();
	}

	function begin() {
		for (const list of document.querySelectorAll('.wp-block-sse-push-events')) {
			const { url, event } = list.dataset;
			if (!streams.has(url)) streams.set(url, new EventSource(url));
			streams.get(url).addEventListener(event, ({ data }) => show(list, data));
		}
	}

	if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', begin);
	else begin();
})();
