import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { Progress } from '../support/progress.mjs';
import { affinity } from './affinity.js';
import type { AnyRow, Bench, BoundRow, RateRow, Row } from './bench.js';
import { budget } from './budget.js';
import { burst } from './burst.js';
import { clients } from './clients.js';
import { cold } from './cold.js';
import { counts } from './counts.js';
import { cycle } from './cycle.js';
import { flush } from './flush.js';
import { footprint } from './footprint.js';
import { growth } from './growth.js';
import { growthOfFleet } from './growth-of-fleet.js';
import { hits } from './hits.js';
import { link } from './link.js';
import { openLoop } from './open-loop.js';
import { overload } from './overload.js';
import { pictureOf } from './pictures.js';
import { PROFILED, profileOf } from './profile.js';
import { record } from './record.js';
import { stale } from './stale.js';
import { stampede } from './stampede.js';
import { takeover } from './takeover.js';
import { tracing } from './tracing.js';
import { values } from './values.js';
import { waiters } from './waiters.js';
import { wake } from './wake.js';
import { wakes } from './wakes.js';
import { workers } from './workers.js';

const RESULTS = 'test/bench/results';
const PICTURES = 'test/bench/pictures';
const BENCHES: readonly Bench[] = [
  ...[stampede, burst, hits, openLoop, cold, cycle, counts, wake, wakes, takeover, waiters, flush],
  ...[tracing, stale, budget, clients, growth, growthOfFleet, footprint, values, link],
  ...[affinity, workers, record, overload],
];

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
}

function print(rows: readonly AnyRow[]): void {
  for (const row of rows) {
    if (row.kind === 'rates') printRates(row);
    else if (row.kind === 'bound') printBound(row);
    else printTimes(row);
  }
}

/** Says whether a promise is kept; empty if nothing is promised. */
function promise(bound: number | undefined, kept: boolean, words: string): string {
  return bound === undefined ? '' : `, to be ${words} ${bound}: ${kept ? 'met' : 'MISSED'}`;
}

function printBound({ name, value, unit, max, facts = [] }: BoundRow): void {
  const kept = promise(max, value <= (max ?? 0), 'at most');
  console.log(`  ${name}: ${value.toFixed(value < 10 ? 2 : 1)} ${unit}${kept}`);
  for (const fact of facts) console.log(`  ${fact}`);
  console.log();
}

function printTimes({ measured, alternative, of, ratio, ratioMax, facts = [] }: Row): void {
  for (const { name, p50Ms, p99Ms } of [measured, alternative]) {
    console.log(`  ${name.padEnd(72)}${`p50 ${ms(p50Ms)}`.padStart(14)}${`p99 ${ms(p99Ms)}`.padStart(14)}`);
  }
  for (const fact of facts) console.log(`  ${fact}`);
  const kept = promise(ratioMax, ratio <= (ratioMax ?? 0), 'at most');
  console.log(`  ratio of the ${of} ${ratio.toFixed(3)}${kept}\n`);
}

function printRates({ title, measured, alternative, ratioMin }: RateRow): void {
  console.log(`  ${title}`);
  for (const { name, perSecond, spread = [perSecond, perSecond], clientUs, serverUs } of [
    measured,
    alternative,
  ]) {
    const told = (value: number) => Math.round(value).toLocaleString('en');
    const rate = `${told(perSecond)} a second`.padStart(20);
    const cpu = `${clientUs.toFixed(1)} + ${serverUs.toFixed(1)} µs of CPU`.padStart(24);
    console.log(`  ${name.padEnd(40)}${rate}${cpu}  (${spread.map(told).join(' to ')})`);
  }
  const ratio = measured.perSecond / alternative.perSecond;
  const kept = promise(ratioMin, ratio >= (ratioMin ?? 0), 'at least');
  console.log(`  ratio of the rates ${ratio.toFixed(2)}${kept}\n`);
}

/** `profile PATH...` is separate from the benches. It shows where the time goes, and promises nothing. */
const [first, ...paths] = process.argv.slice(2);
const available = first === 'profile' ? PROFILED.map(profileOf) : BENCHES;
const wanted = first === 'profile' ? paths.map((path) => `profile ${path}`) : process.argv.slice(2);
const unknown = wanted.filter((name) => !available.some((bench) => bench.name === name));
if (unknown.length > 0) {
  const names = available.map(({ name }) => name).join(', ');
  console.error(`no such bench: ${unknown.join(', ')}; there are ${names}`);
  process.exit(2);
}

const results: Record<string, readonly AnyRow[]> = {};
const machine = { node: process.version, cpus: cpus().length, cpu: cpus()[0]?.model ?? 'unknown' };
mkdirSync(PICTURES, { recursive: true });
const chosen = available.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const progress = new Progress('bench', chosen.length, 'benches');
for (const bench of chosen) {
  const load = loadavg()[0]?.toFixed(1);
  console.log(`\n${bench.name}, at a load of ${load}\n`);
  const rows = await bench.run();
  progress.add();
  progress.clear();
  print(rows);
  results[bench.name] = rows;
  const note = `${new Date().toISOString().slice(0, 10)}, Node ${machine.node}, ${machine.cpus} cores, load ${load}`;
  writeFileSync(`${PICTURES}/${bench.name.replaceAll(' ', '-')}.svg`, pictureOf(bench.name, rows, note));
}

progress.end();
mkdirSync(RESULTS, { recursive: true });
writeFileSync(
  `${RESULTS}/latest.json`,
  `${JSON.stringify({ at: new Date().toISOString(), machine, results }, null, 2)}\n`,
);
console.log(`written to ${RESULTS}/latest.json`);
