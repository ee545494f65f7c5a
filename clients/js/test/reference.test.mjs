import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

// The reference of the client, docs/reference/javascript.md, is written from the declarations of its types:
// `UPDATE=1 node --test clients/js/test/reference.test.mjs`.

const file = (path) => new URL(`../../../${path}`, import.meta.url);
const page = file('docs/reference/javascript.md');
const entries = { '@sse-push/client': 'sse-push', '@sse-push/client/echo': 'echo' };

const intro = `# The JavaScript client

\`clients/js\` is a thin layer over \`EventSource\`: ES modules without a dependency, for pages and workers. It does what
[a page with a plain \`EventSource\`](events.md#with-a-plain-eventsource) has to do itself. Copy \`sse-push.js\` and \`share.js\`, or install \`@sse-push/client\`. This page is
written from the declarations of its types; [Start with JavaScript](../start/javascript.md) leads to the first event, and [What a page gets](events.md) says what the events mean.
`;

// What is declared in a file: each export with its members, and what the comments above them say.
function declarations(path) {
	const all = [];
	let doc = '', within = null;
	for (const [, comment, code] of readFileSync(file(path), 'utf8').matchAll(/\/\*\*([\s\S]*?)\*\/|^(\t?[^\s/*}].*)$/gm)) {
		if (comment !== undefined) {
			doc = comment.replace(/\s*\n\s*\* ?/g, ' ').trim();
			continue;
		}
		const text = code.trim().replace(/;$/, '');
		if (!code.startsWith('\t')) {
			within = { head: text.replace(/^export (interface )?/, '').replace(/ \{$/, ''), doc, members: [] };
			if (text.startsWith('export')) all.push(within);
		} else {
			within.members.push({ text, doc });
		}
		if (!doc && !(within.members.at(-2) && sameName(within.members.at(-1).text, within.members.at(-2).text))) {
			assert.fail(`${path}: ${text} has no comment`);
		}
		doc = '';
	}
	return all;
}

const nameOf = (member) => /^(?:readonly )?[\['"]*([\w.]+(?::\w+(?='))?)/.exec(member)[1];
const sameName = (a, b) => nameOf(a) === nameOf(b);
const cell = (text) => text.replaceAll('|', '\\|');

function reference() {
	let text = intro;
	for (const [name, stem] of Object.entries(entries)) {
		text += `\n## ${name}\n`;
		for (const { head, doc, members } of declarations(`clients/js/${stem}.d.ts`)) {
			const title = head.replace(/^(class|type) /, '').split(/[ =]/)[0];
			text += `\n### ${title}\n\n`;
			if (/^(class|type)/.test(head)) text += `\`\`\`\n${head}\n\`\`\`\n\n`;
			text += `${doc}\n`;
			if (members.length) text += '\n| member | meaning |\n|---|---|\n';
			for (const member of members) text += `| \`${cell(member.text)}\` | ${cell(member.doc || 'The same for other names.')} |\n`;
		}
	}
	return text;
}

test('the reference says what the declarations say', () => {
	if (process.env.UPDATE) writeFileSync(page, reference());
	assert.equal(readFileSync(page, 'utf8'), reference(), 'UPDATE=1 node --test clients/js/test/reference.test.mjs');
});

// What is public in a class of the code.
function members(code, name) {
	const [, body] = new RegExp(`^export class ${name}\\b.*?$(.*?)^\\}$`, 'ms').exec(code);
	const found = [...body.replace(/\/\*\* @internal \*\/\n.*/g, '').matchAll(/^\t\[?([a-z][\w.]*)\]?(?:\(| = |;)/gim)].map(([, member]) => member);
	return found.filter((member) => member !== 'addEventListener'); // which every EventTarget has
}

test('the declarations have all public methods and properties of the code, and no others', () => {
	for (const stem of Object.values(entries)) {
		const code = readFileSync(file(`clients/js/${stem}.js`), 'utf8');
		const declared = declarations(`clients/js/${stem}.d.ts`);
		const classes = [...code.matchAll(/^export class (\w+)/gm)].map(([, name]) => name);
		assert.ok(classes.length > 0);
		for (const name of classes) {
			const of = declared.find(({ head }) => head.split(' ')[1] === name);
			assert.ok(of, `${stem}.d.ts does not have ${name}`);
			const own = members(code, name).filter((member) => name !== 'SseRelay' || member !== 'constructor'); // relay() makes it
			assert.deepEqual([...new Set(of.members.map(({ text }) => nameOf(text)))].sort(), own.sort(), `${stem}.d.ts, ${name}`);
		}
	}
});
