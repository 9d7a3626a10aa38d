import type { AnyRow, BoundRow, Rate, RateRow, Row } from './bench.js';

/** One figure of a picture. */
interface Bar {
  readonly name: string;
  readonly value: number;
  /** The end of the thin line: the p99, or the fastest round. It begins at the slowest round, or at the value. */
  readonly from: number;
  readonly to: number;
  readonly text: string;
  readonly isOurs: boolean;
}

interface Group {
  readonly title: string;
  readonly bars: Bar[];
}

const WIDTH = 760;
const MARGIN = 16;
/** For the text after the longest bar. */
const TEXT_WIDTH = 190;
const LABEL_HEIGHT = 18;
const BAR_HEIGHT = 10;
const BAR_GAP = 10;
const TITLE_HEIGHT = 30;

const STYLE = `
svg{font:12px system-ui,sans-serif;background:#fff}text{fill:#1f2328}.title{font-weight:600}.small{fill:#59636e}
.bar{fill:#8c959f}.ours{fill:#0969da}.line{stroke:#1f2328}
@media (prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#f0f6fc}.small{fill:#9198a1}
.bar{fill:#656c76}.ours{fill:#4493f8}.line{stroke:#f0f6fc}}`;

/**
 * A picture of a bench's rows: a bar for each way, with a thin line from the slowest to the fastest round of a rate, and
 * from the p50 to the p99 of times. `note` says where it was measured. Readable on a light and on a dark page.
 */
export function pictureOf(bench: string, rows: readonly AnyRow[], note: string): string {
  const groups = groupsOf(rows);
  const parts: string[] = [];
  let y = MARGIN;
  const write = (text: string, kind: string, height: number) => {
    parts.push(`<text class="${kind}" x="${MARGIN}" y="${y + 12}">${escaped(text)}</text>`);
    y += height;
  };
  for (const { title, bars } of groups) {
    write(title, 'title', TITLE_HEIGHT - 8);
    const longest = Math.max(...bars.map(({ value, to }) => Math.max(value, to)));
    const xOf = (value: number) => MARGIN + ((WIDTH - 2 * MARGIN - TEXT_WIDTH) * value) / longest;
    for (const { name, value, from, to, text, isOurs } of bars) {
      write(name, '', LABEL_HEIGHT);
      const width = Math.max(1, xOf(value) - MARGIN).toFixed(1);
      parts.push(
        `<rect class="bar${isOurs ? ' ours' : ''}" x="${MARGIN}" y="${y}" width="${width}" height="${BAR_HEIGHT}"/>`,
        `<path class="line" d="M${xOf(from).toFixed(1)} ${y + BAR_HEIGHT / 2}H${xOf(to).toFixed(1)}"/>`,
        `<text class="small" x="${(xOf(Math.max(value, to)) + 6).toFixed(1)}" y="${y + BAR_HEIGHT}">${text}</text>`,
      );
      y += BAR_HEIGHT + BAR_GAP;
    }
    y += BAR_GAP;
  }
  write(note, 'small', LABEL_HEIGHT + MARGIN);
  const size = `width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}"`;
  const title = `<title>npm run bench -- ${bench}</title>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${title}<style>${STYLE}</style>\n${parts.join('\n')}\n</svg>\n`;
}

function groupsOf(rows: readonly AnyRow[]): readonly Group[] {
  const groups = new Map<string, Group>();
  const add = (title: string, bar: Bar) => {
    const group = groups.get(title) ?? { title, bars: [] };
    groups.set(title, group);
    // A way is the alternative of several rows.
    if (!group.bars.some(({ name }) => name === bar.name)) group.bars.push(bar);
  };
  for (const row of rows) {
    if (row.kind === 'rates') for (const bar of barsOfRates(row)) add(`${row.title}: how many a second`, bar);
    else if (row.kind === 'times') for (const bar of barsOfTimes(row)) add('milliseconds, p50 and p99', bar);
    else add(row.unit, barOfBound(row));
  }
  return [...groups.values()];
}

function barsOfRates({ measured, alternative }: RateRow): readonly Bar[] {
  return [measured, alternative].map(({ name, perSecond, spread, clientUs, serverUs }: Rate, at) => {
    const [from, to] = spread ?? [perSecond, perSecond];
    const rate = Math.round(perSecond).toLocaleString('en');
    const text = `${rate}; ${clientUs.toFixed(1)} + ${serverUs.toFixed(1)} µs of CPU`;
    return { name, value: perSecond, from, to, text, isOurs: at === 0 };
  });
}

function barsOfTimes({ measured, alternative }: Row): readonly Bar[] {
  return [measured, alternative].map(({ name, p50Ms, p99Ms }, at) => ({
    ...{ name, value: p50Ms, from: p50Ms, to: p99Ms, isOurs: at === 0 },
    text: `${p50Ms.toFixed(1)}, ${p99Ms.toFixed(1)}`,
  }));
}

function barOfBound({ name, value }: BoundRow): Bar {
  return { name, value, from: value, to: value, text: value.toFixed(1), isOurs: name.startsWith('Dibs') };
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
