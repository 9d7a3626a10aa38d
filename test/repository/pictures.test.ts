import { expect, it } from 'vitest';
import type { AnyRow } from '../bench/bench.js';
import { pictureOf } from '../bench/pictures.js';

const rate = (name: string, perSecond: number) => ({ name, perSecond, clientUs: 1, serverUs: 2 });

const ROWS: readonly AnyRow[] = [
  {
    ...{ kind: 'rates', title: '64 in flight' },
    ...{ measured: { ...rate('ours', 200), spread: [100, 300] }, alternative: rate('a < b & c', 150) },
  },
  { kind: 'rates', title: '64 in flight', measured: rate('ours', 200), alternative: rate('another', 50) },
  { kind: 'bound', name: 'memory', value: 7, unit: 'MiB' },
];

const widths = (svg: string) => [...svg.matchAll(/<rect class="([^"]*)"[^>]* width="([\d.]+)"/g)];

it('a picture has one bar for each way, as long as its value, and marks ours', () => {
  const bars = widths(pictureOf('hits', ROWS, 'load 1'));
  expect(bars.map(([, kind]) => kind)).toEqual(['bar ours', 'bar', 'bar', 'bar']);
  const [ours, theirs, another] = bars.map(([, , width]) => Number(width)) as [number, number, number];
  expect(ours / another).toBeCloseTo(4, 1);
  expect(theirs / another).toBeCloseTo(3, 1);
});

it('shows the slowest and the fastest round, the note, and names with any characters', () => {
  const svg = pictureOf('hits', ROWS, 'load 1');
  // The longest line ends where the text after it begins.
  expect(svg).toContain('H554.0');
  expect(svg).toContain('>load 1<');
  expect(svg).toContain('a &lt; b &amp; c');
});

it('has colours for a light and for a dark page', () => {
  const [light, dark] = pictureOf('hits', ROWS, '').split('prefers-color-scheme:dark') as [string, string];
  for (const part of [light, dark]) expect(part).toMatch(/svg\{.*background:#.*text\{fill:#/s);
});
