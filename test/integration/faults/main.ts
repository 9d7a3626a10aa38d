import { optionsOf, someOf } from '../../support/options.mjs';
import { Progress } from '../../support/progress.mjs';
import { FAULT_KINDS } from './fault-kinds.js';
import { soak } from './soak.js';

// npm run soak -- --minutes N [--seed S] [--processes P] [--only WORDS IN THE NAMES OF FAULTS]

const options = optionsOf({ minutes: 'number', seed: 'number', processes: 'number', only: 'text' });
const { minutes = 1, seed = Math.floor(Math.random() * 2 ** 31), processes = 4, only = '' } = options;
const names = FAULT_KINDS.map(({ name }) => name);
someOf(
  names.filter((name) => name.includes(only)),
  'fault',
  only,
  names,
);
const seconds = minutes * 60;
const progress = new Progress('soak', undefined, 'faults', { lastsMs: seconds * 1_000 });
const say = (line: string) => {
  progress.end();
  console.log(line);
};
const result = await soak({
  seconds,
  seed,
  processes,
  only,
  say,
  faultDone: () => progress.add(),
});
const { faults, counts, violations, late } = result;
const injections = Object.values(faults).reduce((sum, count) => sum + count, 0);
const kinds = Object.keys(faults).length;
console.log(`\nseed ${seed}: ${injections} faults of ${kinds} kinds`);
for (const [kind, count] of Object.entries(faults).sort())
  console.log(`  ${String(count).padStart(6)}  ${kind}`);
console.log('\nwhat the clients saw');
for (const [what, count] of Object.entries(counts).sort())
  console.log(`  ${String(count).padStart(6)}  ${what}`);
console.log(`\n${violations.length} violations, ${late} answers more than a second after their wait`);
for (const violation of violations.slice(0, 50)) console.log(`  ${violation}`);
process.exitCode = violations.length > 0 ? 1 : 0;
