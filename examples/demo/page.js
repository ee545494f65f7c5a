// What the parts of the page share.

export const $ = (id) => document.getElementById(id);

// api makes a call to the internal route, as an app does, and returns its answer.
export async function api(method, call, body) {
	const response = await fetch('/_sse/' + call, {
		method,
		headers: body && { 'Content-Type': 'application/json' },
		body: body && JSON.stringify(body),
	});
	const text = await response.text();
	let answer = {};
	try { answer = JSON.parse(text); } catch { /* empty, or not from the internal route */ }
	if (response.ok) return answer;
	const why = answer.detail ?? answer.title ?? text.slice(0, 200);
	const hint = response.status === 404 && !answer.detail ? `; is ${location.origin} among its origins?` : '';
	throw new Error(`${response.status}: ${why || 'refused'}${hint}`);
}

export function say(output, ok, text) {
	output.dataset.ok = ok;
	output.textContent = text;
}

for (const button of document.querySelectorAll('.copy')) {
	const command = button.previousElementSibling;
	button.addEventListener('click', async () => {
		try {
			await navigator.clipboard.writeText(command.textContent);
			button.textContent = 'Copied';
			setTimeout(() => { button.textContent = 'Copy'; }, 2_000);
		} catch {
			getSelection().selectAllChildren(command);
		}
	});
}
