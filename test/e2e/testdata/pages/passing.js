// A service worker that passes all fetches on, except those of a path that it leaves alone.
const except = new URL(location.href).searchParams.get('except');
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
	if (new URL(event.request.url).pathname === except) return;
	event.respondWith(fetch(event.request));
});
