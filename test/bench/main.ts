import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import type { Bench, Row } from './bench.js';
import { budget } from './budget.js';
import { stale } from './stale.js';
import { wake } from './wake.js';

const RESULTS = 'test/bench/results';
const BENCHES: readonly Bench[] = [wake, stale, budget];

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
}

function print(rows: readonly Row[]): void {
  for (const { measured, alternative, ratio, ratioMax, facts = [] } of rows) {
    for (const { name, p50Ms, p99Ms } of [measured, alternative]) {
      console.log(`  ${name.padEnd(48)}${`p50 ${ms(p50Ms)}`.padStart(14)}${`p99 ${ms(p99Ms)}`.padStart(14)}`);
    }
    for (const fact of facts) console.log(`  ${fact}`);
    const promise =
      ratioMax === undefined ? '' : `, to be at most ${ratioMax}: ${ratio <= ratioMax ? 'met' : 'MISSED'}`;
    console.log(`  ratio of the medians ${ratio.toFixed(2)}${promise}\n`);
  }
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !BENCHES.some((bench) => bench.name === name));
if (unknown.length > 0) {
  console.error(
    `no such bench: ${unknown.join(', ')}; there are ${BENCHES.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}

const results: Record<string, Row[]> = {};
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
