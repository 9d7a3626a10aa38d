// @ts-check
// Two panels over the same minutes: how many waits ended in each second, by what ended them, and their length from the
// median to the 99th percentile. Redrawn once a second, with one path per colour for a few hundred rectangles.

import { endsOf, setText, totalOf } from './tables.js';
import * as words from './words.js';

/** @import { SecondOfWaits } from '../console-state.js' */

const NAMESPACE = 'http://www.w3.org/2000/svg';
const LEFT = 46;
const RIGHT = 10;
const COUNTS = { top: 8, height: 108 };
const TIMES = { top: 138, height: 96 };
const HEIGHT = 256;
const BAR_MIN = 2;
const ENDS = Object.keys(words.WAIT_ENDS);

/** The chart. The pointer or the arrow keys select a second, and its figures are shown below. */
export class WaitChart {
  /** @type {readonly SecondOfWaits[]} */
  #seconds = [];
  #windowS = 300;
  #lastMs = 0;
  /** The start of the selected second, so that the selection does not move; undefined before a selection. @type {number | undefined} */
  #chosenMs;

  /** @param {HTMLElement} slider @param {HTMLElement} readout */
  constructor(slider, readout) {
    this.slider = slider;
    this.readout = readout;
    this.svg = /** @type {SVGSVGElement} */ (slider.querySelector('svg'));
    slider.addEventListener('pointermove', (event) => this.#point(event));
    slider.addEventListener('pointerdown', (event) => this.#point(event));
    slider.addEventListener('pointerleave', () => this.#read(undefined));
    slider.addEventListener('keydown', (event) => this.#key(event));
    slider.addEventListener('blur', () => this.#read(undefined));
    new ResizeObserver(() => this.#draw()).observe(slider);
  }

  /** @param {readonly SecondOfWaits[]} seconds @param {number} windowS @param {number} lastMs when the last second began */
  show(seconds, windowS, lastMs) {
    this.#seconds = seconds;
    this.#windowS = windowS;
    this.#lastMs = lastMs;
    this.#draw();
  }

  /** The age of the selected second; undefined without one, or if it has left the window. */
  get #agoS() {
    if (this.#chosenMs === undefined) return undefined;
    const agoS = Math.round((this.#lastMs - this.#chosenMs) / 1_000);
    return agoS < this.#windowS ? agoS : undefined;
  }

  get #plotWidth() {
    return Math.max(60, this.slider.clientWidth - LEFT - RIGHT);
  }

  /** The left edge of a second. @param {number} agoS */
  #x(agoS) {
    return LEFT + ((this.#windowS - 1 - agoS) * this.#plotWidth) / this.#windowS;
  }

  #draw() {
    const { svg, slider } = this;
    svg.setAttribute('viewBox', `0 0 ${slider.clientWidth} ${HEIGHT}`);
    svg.setAttribute('height', String(HEIGHT));
    svg.replaceChildren(...this.#minutes(), ...this.#counts(), ...this.#times(), ...this.#mark());
    this.#tell();
  }

  /** The time axis. */
  #minutes() {
    const elements = [];
    for (let agoS = 0; agoS <= this.#windowS; agoS += 60) {
      const x = this.#x(agoS - 1);
      elements.push(line(x, x, COUNTS.top, TIMES.top + TIMES.height, 'grid'));
      const anchor = agoS === 0 ? 'end' : 'middle';
      const label = agoS === 0 ? 'now' : `−${agoS / 60} min`;
      if (x > LEFT - 1) elements.push(text(agoS === 0 ? x + RIGHT : x, HEIGHT - 5, label, anchor));
    }
    return elements;
  }

  /** How many waits ended, stacked by what ended them. */
  #counts() {
    const most = Math.max(0, ...this.#seconds.map(totalOf));
    const top = niceAbove(most);
    const { plotWidth, base } = { plotWidth: this.#plotWidth, base: COUNTS.top + COUNTS.height };
    const y = (/** @type {number} */ count) => base - (count / top) * COUNTS.height;
    const width = Math.max(BAR_MIN, plotWidth / this.#windowS - 0.5);
    /** @type {Map<string, string>} */
    const paths = new Map();
    for (const second of this.#seconds) {
      let below = 0;
      for (const end of ENDS) {
        const count = second.ended[end] ?? 0;
        if (count === 0) continue;
        const [from, to] = [y(below), y(below + count)];
        const bar = `M${this.#x(second.agoS).toFixed(1)} ${from.toFixed(1)}h${width.toFixed(1)}V${to.toFixed(1)}h${(-width).toFixed(1)}z`;
        paths.set(end, (paths.get(end) ?? '') + bar);
        below += count;
      }
    }
    const ticks = top % 2 === 0 ? [0, top / 2, top] : [0, top];
    return [
      ...ticks.flatMap((tick) => this.#level(y(tick), words.whole(tick))),
      ...[...paths].map(([end, d]) => element('path', { d, class: `end-${end}` })),
      text(LEFT + 6, COUNTS.top + 12, 'waits ended in each second'),
    ];
  }

  /** How long the waits of each second were, on a scale of powers of ten. */
  #times() {
    const exponent = Math.log10;
    const times = this.#seconds.flatMap(({ p50Ms, p99Ms }) => [p50Ms, p99Ms]);
    const low = Math.floor(exponent(Math.max(0.1, Math.min(10, ...times))));
    const high = Math.max(low + 2, Math.ceil(exponent(Math.max(1_000, ...times))));
    const base = TIMES.top + TIMES.height;
    const y = (/** @type {number} */ ms) =>
      base - ((exponent(Math.max(0.1, ms)) - low) / (high - low)) * TIMES.height;
    const half = this.#plotWidth / this.#windowS / 2;
    let ranges = '';
    let medians = '';
    let ends = '';
    for (const { agoS, p50Ms, p99Ms } of this.#seconds) {
      const x = (this.#x(agoS) + half).toFixed(1);
      const [y50, y99] = [y(p50Ms).toFixed(1), y(p99Ms).toFixed(1)];
      ranges += `M${x} ${y50}V${y99}`;
      medians += `M${x} ${y50}h0`;
      ends += `M${x} ${y99}h0`;
    }
    const decades = Array.from({ length: high - low + 1 }, (_, at) => low + at);
    return [
      ...decades.flatMap((decade) => this.#level(y(10 ** decade), decadeOf(decade))),
      element('path', { d: ranges, class: 'range' }),
      element('path', { d: ends, class: 'p99' }),
      element('path', { d: medians, class: 'p50' }),
      element('path', { d: `M${LEFT + 9} ${TIMES.top + 9}h0`, class: 'p50' }),
      text(LEFT + 16, TIMES.top + 13, 'median'),
      element('path', { d: `M${LEFT + 67} ${TIMES.top + 9}h0`, class: 'p99' }),
      text(LEFT + 74, TIMES.top + 13, '99th percentile'),
    ];
  }

  /** A horizontal line with its value. @param {number} y @param {string} label */
  #level(y, label) {
    return [line(LEFT, LEFT + this.#plotWidth, y, y, 'grid'), text(LEFT - 6, y + 3.5, label, 'end')];
  }

  #mark() {
    const agoS = this.#agoS;
    if (agoS === undefined) return [];
    const x = this.#x(agoS) + this.#plotWidth / this.#windowS / 2;
    return [line(x, x, COUNTS.top, TIMES.top + TIMES.height, 'mark')];
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const within = event.clientX - this.slider.getBoundingClientRect().left - LEFT;
    const fromLeft = Math.floor((within / this.#plotWidth) * this.#windowS);
    this.#read(this.#nearest(this.#windowS - 1 - fromLeft));
  }

  /** The nearest second with waits, because a bar is too thin to hit. @param {number} agoS */
  #nearest(agoS) {
    const bounded = Math.min(this.#windowS - 1, Math.max(0, agoS));
    const near = this.#seconds.filter((second) => Math.abs(second.agoS - bounded) <= 3);
    near.sort((one, other) => Math.abs(one.agoS - bounded) - Math.abs(other.agoS - bounded));
    return near[0]?.agoS ?? bounded;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const now = this.#agoS ?? 0;
    /** @type {Record<string, number>} */
    const to = {
      ArrowLeft: now + 1,
      ArrowDown: now + 1,
      ArrowRight: now - 1,
      ArrowUp: now - 1,
      PageDown: now + 60,
      PageUp: now - 60,
      Home: this.#windowS - 1,
      End: 0,
    };
    const agoS = to[event.key];
    if (agoS === undefined) return;
    event.preventDefault();
    this.#read(Math.min(this.#windowS - 1, Math.max(0, agoS)));
  }

  /** @param {number | undefined} agoS */
  #read(agoS) {
    if (this.#agoS === agoS) return;
    this.#chosenMs = agoS === undefined ? undefined : this.#lastMs - 1_000 * agoS;
    this.#draw();
  }

  #tell() {
    const agoS = this.#agoS ?? 0;
    const second = this.#seconds.find((other) => other.agoS === agoS);
    const time = words.timeOfDay(this.#lastMs - 1_000 * agoS);
    const figures =
      second === undefined
        ? 'no wait ended'
        : `${endsOf(second)}; p50 ${words.duration(second.p50Ms)}, p99 ${words.duration(second.p99Ms)}`;
    this.slider.setAttribute('aria-valuemin', String(1 - this.#windowS));
    this.slider.setAttribute('aria-valuenow', String(-agoS));
    this.slider.setAttribute('aria-valuetext', `${time}: ${figures}`);
    setText(this.readout, this.#agoS === undefined ? this.#hint() : `${time}: ${figures}`);
  }

  #hint() {
    return this.#seconds.length === 0
      ? 'No caller waited in these minutes.'
      : 'Point at a second, or select one with the arrow keys.';
  }
}

/** 1, 2 or 5 times a power of ten, at or above. @param {number} most */
function niceAbove(most) {
  if (most <= 2) return 2;
  const power = 10 ** Math.floor(Math.log10(most));
  const factor = [1, 2, 4, 6, 8, 10].find((step) => step * power >= most) ?? 10;
  return factor * power;
}

/** @param {number} exponent of milliseconds */
function decadeOf(exponent) {
  if (exponent < 0) return `${10 ** exponent} ms`;
  return exponent < 3 ? `${10 ** exponent} ms` : `${words.whole(10 ** (exponent - 3))} s`;
}

/** @param {string} tag @param {Record<string, string>} attributes */
function element(tag, attributes) {
  const made = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** @param {number} x1 @param {number} x2 @param {number} y1 @param {number} y2 @param {string} className */
function line(x1, x2, y1, y2, className) {
  return element('path', {
    d: `M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}`,
    class: className,
  });
}

/** @param {number} x @param {number} y @param {string} content */
function text(x, y, content, anchor = 'start') {
  const made = element('text', { x: x.toFixed(1), y: y.toFixed(1), 'text-anchor': anchor });
  made.textContent = content;
  return made;
}
