import { percentile } from '../support/percentile.js';
import type { Answered } from '../support/stampede.js';

const colour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
const painted = (code: number) => (text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
const bold = painted(1);
const dim = painted(2);
const red = painted(31);
const green = painted(32);

const NAME_WIDTH = 38;
const NUMBER_WIDTH = 14;

export function title(text: string, subtitle: string): void {
  console.log(`\n  ${bold(text)}  ${dim(subtitle)}\n`);
}

export function fact(name: string, text: string): void {
  console.log(`  ${dim(name.padEnd(8))}${text}`);
}

export function head(text: string): void {
  const columns = ['origin calls', 'served', 'p50', 'p99'].map((name) => name.padStart(NUMBER_WIDTH));
  console.log(`\n  ${bold(text.padEnd(NAME_WIDTH))}${dim(columns.join(''))}`);
}

/** Prints the row of one way to serve the stampede. `calls` is green if it is the possible minimum. */
export function row(name: string, calls: number, callsMin: number, answers: readonly Answered[]): void {
  const took = answers.map(({ tookMs }) => tookMs);
  const callsText = calls.toLocaleString('en').padStart(NUMBER_WIDTH);
  const cells = [
    calls === callsMin ? green(callsText) : red(callsText),
    answers.length.toLocaleString('en').padStart(NUMBER_WIDTH),
    milliseconds(percentile(took, 0.5)),
    milliseconds(percentile(took, 0.99)),
  ];
  console.log(`  ${name.padEnd(NAME_WIDTH)}${cells.join('')}`);
}

function milliseconds(ms: number): string {
  return `${Math.round(ms).toLocaleString('en')} ms`.padStart(NUMBER_WIDTH);
}
