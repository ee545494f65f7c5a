import { after, before, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { order } from '../share.js';
import { begin, fakes, install, locks, uninstall, world } from '../testing/browser.mjs';

before(install);
after(uninstall);
beforeEach(() => begin());

const data = (tab) => tab.heard.map(({ type, data }) => (type === 'sse:gap' ? `gap ${JSON.parse(data).reason}` : data));
const holder = () => {
	const holders = world.holders();
	assert.equal(holders.length, 1, `${holders.length} tabs have a stream`);
	return holders[0];
};
async function tabs(n, options, more) {
	const all = [];
	for (let i = 0; i < n; i++) all.push(await world.open(options, more));
	await world.settle();
	return all;
}

test('positions are ordered within a life of the log', () => {
	for (const [a, b, want] of [
		['e.9', 'e.a', -1], ['e.z', 'e.10', -1], ['e.10', 'e.10', 0], ['e.10~x', 'e.10', 0], ['e.1-5', 'e.2-0', -1], ['e.zz-5', 'e.100-0', -1], ['e.1-5.abc', 'e.1-5', 0],
		['e.2', 'e.1~z', 1], ['e.1', 'f.1'], ['', 'e.1'], [null, undefined], ['p1', 'p2'],
	]) assert.equal(Math.sign(order(a, b)), want ?? NaN, `${a} and ${b}`);
});

test('tabs that start at once have one stream, and each hears all of it', async () => {
	const all = await tabs(20);
	holder();
	assert.equal(world.requests, 1);
	world.publish('x');
	world.publish('y');
	await world.settle();
	for (const tab of all) {
		assert.deepEqual(data(tab), ['x', 'y']);
		assert.equal(tab.push.state, 'open');
		assert.deepEqual([tab.push.connection, tab.push.user, tab.push.lastEventId], ['c1', 'u1', world.tail]);
	}
});

for (const end of ['kill', 'close', 'freeze', 'hide']) {
	test(`when the holder ends (${end}), the next one goes on from the last event`, async () => {
		const all = await tabs(3), first = holder();
		world.publish('x');
		await world.settle();
		world.publish('y');
		await world.settle(1); // the holder has it, or does not have it yet; nobody else has
		await world[end](first);
		world.publish('z');
		await world.settle();
		assert.notEqual(holder(), first);
		for (const tab of all) if (tab !== first) assert.deepEqual(data(tab), ['x', 'y', 'z']);
		if (end === 'kill' || end === 'close') return;
		await world[end === 'freeze' ? 'thaw' : 'show'](first);
		await world.settle();
		assert.deepEqual(data(first), ['x', 'y', 'z']);
		assert.notEqual(holder(), first);
		assert.equal(world.requests, 2, 'what it has missed, the holder still had');
	});
}

test('a holder that hangs is replaced, and hears each event once when it goes on', async () => {
	const all = await tabs(3), first = holder();
	world.publish('x');
	await world.settle();
	first.hung = true;
	world.publish('y');
	await world.pass(40_000);
	for (const tab of all) if (tab !== first) assert.deepEqual(data(tab), ['x', 'y']);
	world.publish('z');
	first.hung = false;
	await world.settle();
	assert.notEqual(holder(), first);
	for (const tab of all) assert.deepEqual(data(tab), ['x', 'y', 'z']);
});

test('a holder that is alive keeps its stream, however quiet', async () => {
	await tabs(5);
	await world.pass(600_000);
	assert.equal(world.requests, 1);
});

test('a follower that was asleep itself, as the whole machine was, takes no lock away', async () => {
	const all = await tabs(3), first = holder();
	first.hung = true;
	await world.pass(12_000); // the others have asked
	for (const tab of all) tab.hung = true;
	await world.pass(600_000);
	for (const tab of all) tab.hung = tab === first; // the others are up first
	await world.pass(1_000);
	first.hung = false;
	await world.pass(60_000);
	assert.equal(holder(), first);
});

test('after a sleep of the machine, all tabs together have the stream opened again once', async () => {
	const all = await tabs(5);
	await world.pass(1_000);
	for (const tab of all) tab.hung = true;
	await world.pass(600_000);
	world.publish('x');
	for (const tab of all) if (tab !== holder()) tab.hung = false; // the holder is hidden, and its timers are slow
	for (const timer of world.timers.values()) if (timer.tab === holder()) timer.at = world.now + 60_000;
	holder().hung = false;
	await world.pass(20_000);
	assert.equal(world.requests, 2);
	for (const tab of all) assert.deepEqual(data(tab), ['x']);
});

test('a tab that comes late begins now', async () => {
	await tabs(2);
	world.publish('x');
	await world.settle();
	const [late] = await tabs(1);
	world.publish('y');
	await world.settle();
	assert.deepEqual(data(late), ['y']);
	assert.equal(world.requests, 1);
});

test('a tab that comes late with a position gets what came after it', async () => {
	await tabs(2);
	const before = world.publish('v'), from = world.publish('w');
	world.publish('x');
	await world.settle();
	const [late] = await tabs(1, { lastEventId: from });
	world.publish('y');
	await world.settle();
	assert.deepEqual(data(late), ['x', 'y']);
	assert.equal(world.requests, 1);
	const [other] = await tabs(1, { lastEventId: before });
	assert.deepEqual(data(other), ['w', 'x', 'y']);
	assert.equal(world.requests, 1, 'each had been kept');
});

test('a tab with a position after that of the holder hears nothing that its page already has', async () => {
	world.publish('x');
	const [first] = await tabs(1);
	first.hung = true;
	const from = world.publish('y'); // on its way to the holder
	const [late] = await tabs(1, { lastEventId: from });
	first.hung = false;
	await world.settle();
	world.publish('z');
	await world.settle();
	assert.deepEqual(data(first), ['y', 'z']);
	assert.deepEqual(data(late), ['z']);
});

test('for a tab with an older position, the stream goes back, and the others hear nothing twice', async () => {
	const from = world.publish('w');
	world.publish('x');
	const all = await tabs(3);
	world.publish('y');
	await world.settle();
	const late = await world.open({ lastEventId: from }), later = await world.open({ lastEventId: `e1.0` });
	await world.pass(1_000);
	assert.equal(world.requests, 2, 'once for both');
	world.publish('z');
	await world.settle();
	for (const tab of all) assert.deepEqual(data(tab), ['y', 'z']);
	assert.deepEqual(data(late), ['x', 'y', 'z']);
	assert.deepEqual(data(later), ['w', 'x', 'y', 'z']);
});

test('if the holder dies while its stream goes back, the next one does it', async () => {
	world.publish('x');
	const all = await tabs(3);
	world.publish('y');
	await world.settle();
	const late = await world.open({ lastEventId: 'e1.0' });
	await world.settle();
	const died = holder();
	const passing = world.pass(60);
	await passing;
	world.kill(died);
	await world.pass(1_000);
	world.publish('z');
	await world.settle();
	for (const tab of all) if (tab !== died) assert.deepEqual(data(tab), ['y', 'z']);
	assert.deepEqual(data(late), ['x', 'y', 'z']);
});

test('what the server cannot give any more is a gap, for the tab that wants it alone', async () => {
	world.publish('x');
	world.publish('y');
	world.trimmed = 2;
	const all = await tabs(2);
	world.publish('z');
	await world.settle();
	const [late] = await tabs(1, { lastEventId: 'e1.0' });
	await world.pass(1_000);
	const [other] = await tabs(1, { lastEventId: 'e0.1' });
	await world.pass(1_000);
	world.publish('end');
	await world.settle();
	for (const tab of all) assert.deepEqual(data(tab).filter((line) => line !== 'gap trimmed'), ['z', 'end']);
	assert.deepEqual(data(late), ['gap trimmed', 'end']);
	assert.deepEqual(data(other), ['gap unknown', 'end'], 'positions of another life have no order');
	assert.equal(world.requests, 2);
});

test('a gap of the stream itself is heard by all', async () => {
	const all = await tabs(3);
	world.publish('x');
	await world.settle();
	world.down = true;
	world.drop();
	await world.settle();
	world.publish('y');
	world.trimmed = world.log.length;
	world.down = false;
	await world.pass(60_000);
	world.publish('z');
	await world.settle();
	for (const tab of all) assert.deepEqual(data(tab), ['x', 'gap trimmed', 'z']);
});

test('a new life of the log goes through to all', async () => {
	const all = await tabs(3);
	world.publish('x');
	await world.settle();
	world.life = 'e2';
	world.publish('y');
	await world.settle();
	world.kill(holder());
	world.publish('z');
	await world.settle();
	for (const tab of all) if (!tab.dead) assert.deepEqual(data(tab), ['x', 'y', 'z']);
});

test('replay gives a late tab the last events', async () => {
	for (const n of [1, 2, 3]) world.publish(n);
	const [first] = await tabs(1, { replay: 2 });
	assert.deepEqual(data(first), ['2', '3']);
	world.publish(4);
	await world.settle();
	const [late] = await tabs(1, { replay: 2 });
	assert.deepEqual(data(late), ['3', '4']);
	world.kill(first);
	world.publish(5);
	await world.settle();
	assert.deepEqual(data(late), ['3', '4', '5']);
	const [later] = await tabs(1, { replay: 2 });
	assert.deepEqual(data(later), ['4', '5'], 'followers keep them as well');
});

test('the holder hears the names that any tab listens for, over handovers', async () => {
	const [first] = await tabs(1, {}, { names: ['a'] });
	const [second] = await tabs(1, {}, { names: ['b'] });
	const [third] = await tabs(1, {}, { names: ['c'] });
	const hear = async (want) => {
		for (const type of ['a', 'b', 'c', 'd']) world.publish(type, type);
		await world.settle();
		for (const [tab, name] of want) assert.equal(data(tab).at(-1), name);
	};
	await hear([[first, 'a'], [second, 'b'], [third, 'c']]);
	await world.run(third, () => world.listen(third, 'd'));
	await world.settle();
	await hear([[first, 'a'], [second, 'b'], [third, 'd']]);
	world.kill(first);
	await hear([[second, 'b'], [third, 'd']]);
	assert.equal(holder(), second);
	assert.deepEqual(data(third), ['c', 'c', 'd', 'c', 'd']);
});

test('a late tab with a name that nobody listened for misses nothing', async () => {
	await tabs(2);
	const from = world.publish('x');
	world.publish('y', 'b');
	world.publish('z');
	await world.settle();
	const [late] = await tabs(1, { lastEventId: from }, { names: ['a', 'b'] });
	await world.pass(1_000);
	assert.deepEqual(data(late), ['y', 'z']);
	assert.equal(world.requests, 2);
});

test('state and connection are those of the stream', async () => {
	const all = await tabs(3);
	world.down = true;
	world.drop();
	await world.settle();
	for (const tab of all) assert.deepEqual([tab.push.state, tab.push.connection], ['connecting', null]);
	world.down = false;
	await world.pass(60_000);
	for (const tab of all) assert.deepEqual([tab.push.state, tab.push.connection], ['open', `c${world.requests}`]);
});

test('each tab is refused by its own request', async () => {
	world.down = true;
	world.status = 403;
	const all = await tabs(3);
	for (const tab of all) assert.equal(tab.push.state, 'refused');
	assert.equal(world.requests, 3);
	world.down = false;
	await world.run(all[1], () => all[1].push.open());
	await world.settle();
	assert.equal(all[1].push.state, 'open');
});

test('a page of another group that takes the client over ends all tabs of this one', async () => {
	const all = await tabs(3, { client: 'x'.repeat(16) });
	for (const source of world.sources) source.send('sse:superseded', '{}');
	await world.pass(2_000);
	for (const tab of all) assert.equal(tab.push.state, 'superseded');
	assert.equal(world.holders().length, 0);
});

test('a holder that hung and was superseded by its own group follows', async () => {
	const all = await tabs(3, { client: 'x'.repeat(16) }), first = holder();
	first.hung = true;
	const [source] = world.sources;
	await world.pass(40_000);
	source.send('sse:superseded', '{}');
	first.hung = false;
	await world.pass(5_000);
	world.publish('x');
	await world.settle();
	for (const tab of all) assert.deepEqual([tab.push.state, ...data(tab)], ['open', 'x']);
});

test('who shares: the same URL, topics and options; with a name, whatever the query', async () => {
	await tabs(1);
	await tabs(1, {}, { url: '/events?userId=other' });
	await tabs(1, { topics: ['x', 'y'] });
	await tabs(1, { topics: ['y', 'x'] });
	assert.equal(world.requests, 3);
	await tabs(1, { share: 'u1' }, { url: '/events?ticket=1' });
	await tabs(1, { share: 'u1' }, { url: '/events?ticket=2' });
	assert.equal(world.requests, 4);
	await tabs(1, { share: 'u2' }, { url: '/events?ticket=3' });
	await tabs(1, { share: false });
	assert.equal(world.requests, 6);
});

test('without the two APIs, or if they are refused, each tab has a stream of its own', async () => {
	locks.refused = true;
	const all = await tabs(2);
	assert.equal(world.holders().length, 2);
	world.publish('x');
	await world.settle();
	for (const tab of all) assert.deepEqual(data(tab), ['x']);
	for (const missing of [{}, undefined]) {
		begin();
		globalThis.navigator = missing;
		await tabs(2);
		assert.equal(world.holders().length, 2);
	}
	globalThis.navigator = fakes.navigator;
});

test('close leaves nothing behind', async () => {
	const all = await tabs(3);
	world.publish('x');
	for (const tab of all) await world.close(tab);
	await world.settle();
	assert.equal(world.sources.size + world.channels.size + world.timers.size, 0);
	for (const { held, waiting } of world.locks.values()) assert.deepEqual([held, waiting], [null, []]);
	for (const tab of all) assert.equal(tab.push.state, 'closed');
	await world.pass(600_000);
	assert.equal(world.requests, 1);
});

test('what is kept has a bound', async () => {
	const [first] = await tabs(1);
	const from = world.tail;
	for (let i = 0; i < 10; i++) world.publish('x'.repeat(100_000));
	for (let i = 0; i < 1_000; i++) world.publish(i);
	await world.settle();
	const [late] = await tabs(1, { lastEventId: from });
	await world.pass(1_000);
	assert.equal(world.requests, 2, 'the stream goes back');
	assert.equal(late.heard.length, 1_010);
	assert.equal(first.heard.length, 1_010);
});

// Whatever happens in whatever order: once it is quiet, one tab has the stream, and each has every event since it began, once.
test('a storm of tabs loses nothing and doubles nothing', async () => {
	for (let seed = 1; seed <= +(process.env.SEEDS ?? 200); seed++) {
		begin(seed);
		const alive = () => world.tabs.filter((tab) => !tab.dead && !tab.closed);
		const running = () => alive().filter((tab) => !tab.hung);
		const acts = {
			async open() { if (alive().length < 6) await world.open(world.random() < 0.7 ? { lastEventId: world.pick([world.tail, world.pick(world.log)?.id ?? world.tail]) } : {}); },
			async publish() { for (let i = world.random() * 4; i > 0; i--) world.publish(world.count + 1); },
			async kill() { const tab = world.pick(alive()); if (tab) world.kill(tab); },
			async close() { const tab = world.pick(running()); if (tab) await world.close(tab); },
			async hang() { const tab = world.pick(running()); if (tab) tab.hung = true; },
			async unhang() { for (const tab of alive()) if (tab.hung && !tab.away) tab.hung = false; },
			async freeze() { const tab = world.pick(running()); if (tab) await world.freeze(tab); },
			async thaw() { for (const tab of alive()) if (tab.away) await world.thaw(tab); },
			async drop() { world.drop(); },
			async down() { world.down = !world.down; },
			async wait() { await world.pass(world.random() * 30_000); },
			async some() { await world.settle(Math.floor(world.random() * 10)); },
		};
		const names = [...Object.keys(acts), 'open', 'publish', 'publish', 'publish', 'some', 'some'];
		for (let i = 0; i < 60; i++) await acts[world.pick(names)]();
		world.down = false;
		await acts.unhang();
		await acts.thaw();
		await world.pass(120_000);
		world.publish(world.count + 1);
		await world.settle();
		const all = alive(), said = (tab) => `seed ${seed}, tab ${tab.id}, ${JSON.stringify(data(tab))}`;
		if (all.length) assert.equal(world.holders().length, 1, `seed ${seed}`);
		for (const tab of all) {
			const got = data(tab).map(Number);
			assert.equal(got.at(-1), world.count, said(tab));
			got.forEach((n, i) => { if (i) assert.equal(n, got[i - 1] + 1, said(tab)); });
			if (tab.from) assert.equal(got[0], tab.from + 1, said(tab));
		}
	}
});
