// Draws the page. Text from clients is set by textContent alone.

export const $ = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...content) {
	const e = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value !== undefined && value !== false) e.setAttribute(name, value === true ? '' : value);
	}
	e.append(...content);
	return e;
}

// --- numbers

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export const count = (n) => (n < 100_000 ? plain.format(n) : compact.format(n));

export const rate = (n) => (n > 0 && n < 10 ? n.toFixed(1) : count(Math.round(n)));

export function bytes(n) {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let unit = 0;
	for (; n >= 1_000 && unit < units.length - 1; unit++) n /= 1_024;
	return `${unit && n < 10 ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

export function span(ms) {
	if (ms < 1) return `${Math.round(ms * 1_000)} µs`;
	if (ms < 1_000) return `${Math.round(ms)} ms`;
	const s = ms / 1_000;
	if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
	if (s < 3_600) return `${Math.floor(s / 60)} min`;
	if (s < 86_400) return `${Math.floor(s / 3_600)} h ${Math.floor(s / 60) % 60} min`;
	return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3_600) % 24} h`;
}

// --- charts

const SVG = 'http://www.w3.org/2000/svg';
const POINTS = 300; // a second each
const FEWEST = 60;  // that a chart has room for
const HEIGHT = 48;

function svg(tag, attributes) {
	const e = document.createElementNS(SVG, tag);
	for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
	return e;
}

// Figure is a number with a chart of its last minutes. An unknown value is null.
export class Figure {
	constructor(parent, title, format) {
		this.title = title;
		this.format = format;
		this.values = [];
		this.now = element('p', { class: 'now' }, '–');
		this.more = element('p', { class: 'hint' }, '\u00a0');
		this.chart = svg('svg', { role: 'img', preserveAspectRatio: 'none', class: 'chart' });
		this.area = svg('path', { class: 'area' });
		this.line = svg('path', { class: 'line' });
		this.chart.append(this.area, this.line);
		this.most = element('span', { class: 'most' });
		parent.append(element('div', { class: 'card figure' },
			element('h2', {}, title), this.now, this.more, element('div', { class: 'plot' }, this.chart, this.most)));
	}

	add(value, more) {
		this.values.push(value);
		if (this.values.length > POINTS) this.values.shift();
		this.now.textContent = value === null ? '–' : this.format(value);
		this.more.textContent = more;
		const known = this.values.filter((v) => v !== null);
		const most = Math.max(0, ...known);
		const top = most || 1;
		const room = Math.max(this.values.length, FEWEST);
		this.chart.setAttribute('viewBox', `0 0 ${room - 1} ${HEIGHT}`);
		const x = (i) => room - this.values.length + i;
		const y = (v) => (HEIGHT - 1 - (v / top) * (HEIGHT - 4)).toFixed(1);
		let line = '', area = '', begun = -1;
		this.values.forEach((v, i) => {
			if (v === null) {
				if (begun >= 0) area += `V${HEIGHT}H${x(begun)}Z`;
				begun = -1;
				return;
			}
			line += `${begun < 0 ? 'M' : 'L'}${x(i)} ${y(v)}`;
			area += begun < 0 ? `M${x(i)} ${HEIGHT}V${y(v)}` : `L${x(i)} ${y(v)}`;
			if (begun < 0) begun = i;
		});
		if (begun >= 0) area += `V${HEIGHT}H${x(begun)}Z`;
		this.line.setAttribute('d', line);
		this.area.setAttribute('d', area);
		this.most.textContent = known.length ? `max ${this.format(most)}` : '';
		this.chart.setAttribute('aria-label', `${this.title}, last ${span(this.values.length * 1_000)}: now ${this.now.textContent}, ${this.most.textContent}`);
	}
}

// --- tables

// fill shows rows in a table body. A row keeps its element while it is listed, and with it the focus.
export function fill(body, columns, rows, key) {
	const there = new Map([...body.children].map((tr) => [tr.dataset.key, tr]));
	let at = body.firstElementChild;
	for (const row of rows) {
		const k = key(row);
		let tr = there.get(k);
		if (!tr) {
			tr = element('tr', { role: 'row', 'data-key': k });
			for (const column of columns) {
				const td = element('td', { role: 'cell', 'data-label': column.title, class: column.class });
				if (column.make) td.append(column.make(row));
				tr.append(td);
			}
		}
		there.delete(k);
		columns.forEach((column, i) => {
			if (column.make) return;
			if (column.bad) tr.children[i].toggleAttribute('data-bad', !!column.bad(row));
			const text = column.text(row);
			if (tr.children[i].textContent === text) return;
			tr.children[i].textContent = text;
			if (column.full) tr.children[i].title = text; // where there is room for a part only
		});
		if (tr === at) at = at.nextElementSibling;
		else body.insertBefore(tr, at);
	}
	for (const gone of there.values()) gone.remove();
}

export function head(thead, columns) {
	thead.replaceChildren(element('tr', { role: 'row' }, ...columns.map((c) =>
		element('th', { role: 'columnheader', scope: 'col', class: `${c.class ?? ''} head` }, c.title || element('span', { class: 'unseen' }, 'Actions')))));
}
