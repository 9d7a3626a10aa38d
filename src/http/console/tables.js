// @ts-check
// The page's tables. A row keeps its element while its item exists, so that a selection, the focus and an animated
// bar survive an update. Text is inserted as text, never as markup.

import * as words from './words.js';

/** @import { ConsoleState, Counted, SecondOfWaits, ShownNode } from '../console-state.js' */
/** @typedef {ConsoleState['held']['leases'][number]} ShownLease */

/**
 * One row per item.
 * @template Item
 * @param {string} id of the table
 * @param {readonly Item[]} items
 * @param {(item: Item) => string} nameOf tells one row from the others
 * @param {(row: Row, item: Item) => void} fill
 */
function fillRows(id, items, nameOf, fill) {
  const body = /** @type {HTMLTableElement} */ (document.getElementById(id)).tBodies[0];
  if (body === undefined) return;
  /** @type {Map<string, HTMLTableRowElement>} */
  const known = new Map();
  for (const row of [...body.rows]) {
    // A key can briefly have two leases, when one outlives its end at the store. The second row is then recreated.
    if (known.has(row.dataset.name ?? '')) row.remove();
    else known.set(row.dataset.name ?? '', row);
  }
  for (const [at, item] of items.entries()) {
    const name = nameOf(item);
    const row = known.get(name) ?? newRow(name);
    known.delete(name);
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] ?? null);
    fill(new Row(row), item);
  }
  for (const row of known.values()) row.remove();
}

/** @param {string} name */
function newRow(name) {
  const row = document.createElement('tr');
  row.setAttribute('role', 'row');
  row.dataset.name = name;
  return row;
}

/** Writes the cells of a row from left to right. */
class Row {
  #at = 0;

  /** @param {HTMLTableRowElement} row */
  constructor(row) {
    this.row = row;
  }

  /** @param {string} text */
  head(text, className = '') {
    setText(this.cell('th', className), text);
  }

  /** @param {string} text */
  text(text, className = '') {
    setText(this.cell('td', className), text);
  }

  /** @param {string} text @param {string} [label] what precedes it if rows have no columns */
  number(text, className = '', label = '') {
    const cell = this.cell('td', `number ${className}`);
    if (label !== '') cell.dataset.label = label;
    setText(cell, text);
  }

  /** The next cell; `make` gives a new one its parts. @param {'th' | 'td'} tag @param {(cell: HTMLElement) => void} [make] */
  cell(tag, className = '', make) {
    let cell = this.row.cells[this.#at];
    this.#at += 1;
    if (cell === undefined) {
      cell = document.createElement(tag);
      // Set explicitly, because some screen readers ignore the role of a row with another layout.
      cell.setAttribute('role', tag === 'th' ? 'rowheader' : 'cell');
      if (tag === 'th') cell.setAttribute('scope', 'row');
      make?.(cell);
      this.row.append(cell);
    }
    if (cell.className !== className) cell.className = className;
    return cell;
  }
}

/** @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {HTMLElement} parent @param {string} tag @param {string} className */
function addPart(parent, tag, className) {
  const part = document.createElement(tag);
  part.className = className;
  parent.append(part);
  return part;
}

/** @param {HTMLElement} cell @param {string} className */
const partOf = (cell, className) => /** @type {HTMLElement} */ (cell.querySelector(`.${className}`));

/** @param {readonly ShownLease[]} leases */
export function showLeases(leases) {
  fillRows('leases', leases, ({ namespace, key }) => `${namespace}\0${key}`, fillLease);
}

/** @param {Row} row @param {ShownLease} lease */
function fillLease(row, lease) {
  const key = row.cell('th', 'key', (cell) => {
    const lines = addPart(cell, 'span', 'lines');
    addPart(lines, 'bdi', 'namespace');
    lines.append(' ');
    addPart(lines, 'bdi', 'name');
  });
  key.title = words.visible(lease.key);
  setText(partOf(key, 'namespace'), words.visible(lease.namespace));
  setText(partOf(key, 'name'), words.visible(lease.key));

  const holder = row.cell('td', 'holder', (cell) => void addPart(cell, 'bdi', 'lines'));
  setText(partOf(holder, 'lines'), lease.holder === '' ? words.NOTHING : words.visible(lease.holder));

  const isStored = lease.kind === 'armed';
  row.text(`${words.nameOf(lease.reason)}${isStored ? '' : ', not stored'}`, isStored ? '' : 'warn');
  row.number(words.duration(lease.ageMs), '', 'held');

  const left = row.cell('td', 'left', (cell) => {
    addPart(cell, 'span', 'time');
    const bar = addPart(cell, 'span', 'bar');
    bar.setAttribute('aria-hidden', 'true');
    addPart(bar, 'span', 'fill');
  });
  setText(partOf(left, 'time'), words.duration(lease.leftMs));
  const share = Math.max(0, lease.leftMs / Math.max(lease.leaseMs, lease.leftMs));
  partOf(left, 'fill').style.transform = `scaleX(${share.toFixed(4)})`;
  row.number(words.whole(lease.waiters), 'waiters', 'waiting');
}

/** @param {readonly ShownNode[]} nodes */
export function showNodes(nodes) {
  fillRows('nodes', nodes, ({ node }) => node, fillNode);
}

/** @param {Row} row @param {ShownNode} shown */
function fillNode(row, { node, state, stateForMs, why, lastVote, votes, p50Ms, p99Ms }) {
  const isVoting = state === 'voting';
  const since = stateForMs === undefined ? '' : ` for ${words.longDuration(stateForMs)}`;
  row.head(node, 'node');
  row.text(
    `${state}${since}${isVoting || why === '' ? '' : `: ${why}`}`,
    isVoting ? 'state good' : 'state bad',
  );
  row.text(
    lastVote === undefined ? words.NOTHING : voteOf(lastVote),
    lastVote?.vote === 'missing' ? 'warn' : '',
  );
  row.number(words.whole(votes.for + votes.held), '', 'votes');
  row.number(words.whole(votes.missing), votes.missing > 0 ? 'warn' : '', 'missing');
  row.number(words.duration(p50Ms), '', 'p50');
  row.number(words.duration(p99Ms), '', 'p99');
}

/** @param {NonNullable<ShownNode['lastVote']>} vote */
function voteOf({ vote, why, agoMs }) {
  const ago = agoMs < 1_000 ? 'just now' : `${words.longDuration(agoMs)} ago`;
  return `${vote}${why === '' ? '' : ` (${why})`}, ${ago}`;
}

/** @param {string} id @param {readonly Counted[]} counts */
export function showCounts(id, counts) {
  fillRows(
    id,
    counts,
    ({ name }) => name,
    (row, { name, count, perSecond }) => {
      row.row.className = count === 0 ? 'none' : '';
      row.head(words.nameOf(name));
      row.number(words.rate(perSecond));
      row.number(words.whole(count));
    },
  );
}

/** @param {ConsoleState['recent']['waits']['byEnd']} byEnd */
export function showWaits(byEnd) {
  fillRows(
    'waits',
    byEnd,
    ({ endedBy }) => endedBy,
    (row, { endedBy, count, p50Ms, p99Ms }) => {
      row.row.className = count === 0 ? 'none' : '';
      row.head(words.WAIT_ENDS[endedBy] ?? endedBy, `end end-${endedBy}`);
      row.number(words.whole(count));
      row.number(words.duration(count === 0 ? undefined : p50Ms));
      row.number(words.duration(count === 0 ? undefined : p99Ms));
    },
  );
}

/** @param {readonly SecondOfWaits[]} seconds @param {number} lastMs when the last of all seconds began */
export function showSeconds(seconds, lastMs) {
  const timeOf = (/** @type {SecondOfWaits} */ { agoS }) => words.timeOfDay(lastMs - 1_000 * agoS);
  fillRows('seconds', seconds, timeOf, (row, second) => {
    row.head(timeOf(second));
    row.number(words.whole(totalOf(second)));
    row.number(words.duration(second.p50Ms));
    row.number(words.duration(second.p99Ms));
    row.text(endsOf(second));
  });
}

/** How many waits ended in that second. @param {SecondOfWaits} second */
export function totalOf({ ended }) {
  return Object.values(ended).reduce((sum, count) => sum + count, 0);
}

/** What ended them, in words. @param {SecondOfWaits} second */
export function endsOf({ ended }) {
  return Object.entries(ended)
    .map(([end, count]) => `${words.whole(count)} ${words.WAIT_ENDS[end] ?? end}`)
    .join(', ');
}
