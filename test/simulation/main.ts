import { simulate } from './simulate.js';

const seed = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 1);
const started = performance.now();
let bad = 0;
for (let at = 0; at < count; at += 1) {
  const result = await simulate(seed + at, count === 1 ? (line) => console.log(line) : undefined);
  if (result.violations.length > 0) {
    bad += 1;
    console.log(seed + at, result.violations.slice(0, 3));
  }
  if (count === 1) console.log(result.digest, result.steps, result.counts, result.violations);
}
console.log(count, 'seeds', bad, 'bad', ((performance.now() - started) / count).toFixed(1), 'ms each');
