import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import type { Bench, RateRow, Row } from './bench.js';
import { budget } from './budget.js';
import { hits } from './hits.js';
import { stale } from './stale.js';
import { wake } from './wake.js';

const RESULTS = 'test/bench/results';
const BENCHES: readonly Bench[] = [wake, hits, stale, budget];

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
}

function print(rows: readonly (Row | RateRow)[]): void {
  for (const row of rows) {
    if ('title' in row) printRates(row);
    else printTimes(row);
  }
}

function printTimes({ measured, alternative, ratio, ratioMax, facts = [] }: Row): void {
  for (const { name, p50Ms, p99Ms } of [measured, alternative]) {
    console.log(`  ${name.padEnd(56)}${`p50 ${ms(p50Ms)}`.padStart(14)}${`p99 ${ms(p99Ms)}`.padStart(14)}`);
  }
  for (const fact of facts) console.log(`  ${fact}`);
  const promise =
    ratioMax === undefined ? '' : `, to be at most ${ratioMax}: ${ratio <= ratioMax ? 'met' : 'MISSED'}`;
  console.log(`  ratio of the medians ${ratio.toFixed(2)}${promise}\n`);
}

function printRates({ title, measured, alternative, ratioMin }: RateRow): void {
  console.log(`  ${title}`);
  for (const { name, perSecond, clientUs, serverUs } of [measured, alternative]) {
    const rate = `${Math.round(perSecond).toLocaleString('en')} a second`.padStart(22);
    const cpu = `${clientUs.toFixed(1)} + ${serverUs.toFixed(1)} µs of CPU`.padStart(26);
    console.log(`  ${name.padEnd(40)}${rate}${cpu}`);
  }
  const ratio = measured.perSecond / alternative.perSecond;
  const promise =
    ratioMin === undefined ? '' : `, to be at least ${ratioMin}: ${ratio >= ratioMin ? 'met' : 'MISSED'}`;
  console.log(`  ratio of the rates ${ratio.toFixed(2)}${promise}\n`);
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !BENCHES.some((bench) => bench.name === name));
if (unknown.length > 0) {
  console.error(
    `no such bench: ${unknown.join(', ')}; there are ${BENCHES.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}

const results: Record<string, readonly (Row | RateRow)[]> = {};
for (const bench of BENCHES.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  console.log(`\n${bench.name}\n`);
  const rows = await bench.run();
  print(rows);
  results[bench.name] = rows;
}

mkdirSync(RESULTS, { recursive: true });
const machine = { node: process.version, cpus: cpus().length, cpu: cpus()[0]?.model ?? 'unknown' };
writeFileSync(
  `${RESULTS}/latest.json`,
  `${JSON.stringify({ at: new Date().toISOString(), machine, results }, null, 2)}\n`,
);
console.log(`written to ${RESULTS}/latest.json`);
