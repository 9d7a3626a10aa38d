import { fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { misused, optionsOf, someOf } from '../support/options.mjs';
import { Progress } from '../support/progress.mjs';
import { Coverage, STEPS } from './coverage.js';
import { exploreAll, replay, scenariosWith } from './explore.js';
import { FAULTS, STORE_LOSS } from './faults.js';
import { ABOUTS, type About, type SeedResult, simulate } from './simulate.js';

// npm run simulate -- --seed N                  one seed, with every event
// npm run simulate -- --seeds N [--from M]      N seeds, from M or from a random one
// npm run simulate -- --seconds N [--min M]     new seeds for N seconds, and at least M
//                     [--meet N]                fail unless each fault has met each step N times
//                     [--stop]                  stop at the first violation
//                     [--about clients]         clients with near caches in every seed, and few others
//                     [--about lateness]        replies are late, and nothing else goes wrong
//                     [--about groups]          several groups of lock nodes, which change in a rollout
// npm run simulate -- explore [--deviations N]  every order of each small world, up to N deviations
//                     [--only NAME] [--seconds N]
// npm run simulate -- explore --only NAME --order ORDER    one order, with every event

const explores = process.argv[2] === 'explore';
const OF_SEEDS = {
  ...{ seed: 'number', seeds: 'number', from: 'number', seconds: 'number', min: 'number', meet: 'number' },
  ...{ stop: 'flag', about: 'text', child: 'flag' },
} as const;
const OF_ORDERS = {
  ...{ deviations: 'number', seconds: 'number', faults: 'number' },
  ...{ only: 'text', order: 'text' },
} as const;
const options = explores ? {} : optionsOf(OF_SEEDS);
const ABOUT = aboutOf(options.about);
const KNOWN = `test/simulation/known-seeds${ABOUT === undefined ? '' : `-about-${ABOUT}`}.json`;
/** How many seeds a process takes at a time. Few, so that `--stop` stops soon. */
const CHUNK = 10;
/** The default bound for the orders of a small world. */
const DEVIATIONS = 2;

function aboutOf(text: string | undefined): About | undefined {
  if (text === undefined || ABOUTS.includes(text as About)) return text as About | undefined;
  return misused(`--about takes one of ${ABOUTS.join(', ')}, not '${text}'`);
}

/** A child's report of the seeds `[from, to)`. */
interface Report {
  readonly seeds: number;
  readonly steps: number;
  readonly operations: number;
  readonly cpuMs: number;
  readonly bad: Pick<SeedResult, 'seed' | 'violations'>[];
  readonly coverage: SeedResult['coverage'];
}

async function child(): Promise<void> {
  // The stacks of simulated errors are never read, and they cost a tenth of the time.
  Error.stackTraceLimit = 0;
  for await (const [from, to] of messages()) {
    const coverage = new Coverage();
    const cpu = process.cpuUsage();
    const bad: Report['bad'] = [];
    let [steps, operations] = [0, 0];
    for (let seed = from; seed < to; seed += 1) {
      const result = await simulate(seed, { about: ABOUT });
      steps += result.steps;
      operations += result.operations;
      coverage.add(result.coverage);
      if (result.violations.length > 0) bad.push({ seed, violations: result.violations.slice(0, 3) });
    }
    const { user, system } = process.cpuUsage(cpu);
    process.send?.({
      seeds: to - from,
      cpuMs: (user + system) / 1_000,
      steps,
      operations,
      bad,
      coverage: coverage.entries(),
    } satisfies Report);
  }
}

async function* messages(): AsyncGenerator<[number, number]> {
  for (;;) yield await new Promise<[number, number]>((resolve) => process.once('message', resolve));
}

/** Plays seeds on all cores until `enough` returns true. */
async function playMany(from: number, enough: (played: number) => boolean, progress: Progress) {
  const total = {
    ...{ seeds: 0, steps: 0, operations: 0, cpuMs: 0 },
    bad: [] as Report['bad'],
    coverage: new Coverage(),
  };
  let next = from;
  const play = async () => {
    // Most objects of a seed die young, so a large young space collects them cheaply. There is a process for each core, so
    // helper threads of the collector would only compete with it.
    const execArgv = [...process.execArgv, '--max-semi-space-size=64', '--single-threaded-gc'];
    const worker = fork(fileURLToPath(import.meta.url), ['--child', ...process.argv.slice(2)], { execArgv });
    while (!enough(next - from) && !(options.stop === true && total.bad.length > 0)) {
      const range = [next, next + CHUNK];
      next += CHUNK;
      const report = await new Promise<Report>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('exit', (code) => reject(new Error(`a simulation ended with ${code} in seeds ${range}`)));
        worker.send(range);
      });
      worker.removeAllListeners('exit');
      progress.add(report.seeds);
      total.seeds += report.seeds;
      total.steps += report.steps;
      total.operations += report.operations;
      total.cpuMs += report.cpuMs;
      total.bad.push(...report.bad);
      total.coverage.add(report.coverage);
    }
    worker.kill();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, play));
  return total;
}

async function one(seed: number): Promise<number> {
  const { violations, digest, counts, operations, faults } = await simulate(seed, {
    print: (line) => console.log(line),
    about: ABOUT,
  });
  console.log(`\nseed ${seed}: ${operations} operations, ${faults} faults, trace ${digest}`, counts);
  for (const { invariant, what } of violations) console.log(`${invariant}  ${what}`);
  return violations.length > 0 ? 1 : 0;
}

async function many(): Promise<number> {
  const { seconds, min, meet = 0, from = Math.floor(Math.random() * 2 ** 31) } = options;
  const count = options.seeds ?? min ?? 1_000;
  const progress = new Progress('simulate', seconds === undefined ? count : min, 'seeds', {
    lastsMs: (seconds ?? 0) * 1_000,
  });
  const startedMs = performance.now();
  const elapsed = () => (performance.now() - startedMs) / 1000;
  const total = await playMany(
    from,
    (played) => played >= count && (seconds === undefined || elapsed() >= seconds),
    progress,
  );
  progress.end();
  const rate = (total.seeds / elapsed()).toFixed(0);
  console.log(
    `${total.seeds} seeds from ${from} in ${elapsed().toFixed(0)} s ` +
      `(${rate} a second, ${(total.cpuMs / total.seeds).toFixed(1)} ms of CPU each): ` +
      `${total.operations} operations, ${total.steps} steps, ${total.bad.length} seeds with violations`,
  );
  for (const { seed, violations } of total.bad) {
    for (const { invariant, what } of violations) console.log(`  seed ${seed}  ${invariant}  ${what}`);
    console.log(
      `  replay: npm run simulate -- ${ABOUT === undefined ? '' : `--about ${ABOUT} `}--seed ${seed}`,
    );
  }
  remember(total.bad.map(({ seed }) => seed));
  const unmet = total.coverage.below(meet, [...Object.keys(FAULTS), STORE_LOSS], STEPS);
  for (const pair of unmet) console.log(`  met too rarely: ${pair}`);
  return total.bad.length > 0 || unmet.length > 0 ? 1 : 0;
}

/** Adds seeds to the known ones, which `npm test` always plays. */
function remember(seeds: number[]): void {
  if (seeds.length === 0) return;
  const known: number[] = JSON.parse(readFileSync(KNOWN, 'utf8'));
  writeFileSync(KNOWN, `${JSON.stringify([...new Set([...known, ...seeds])], null, 2)}\n`);
  console.log(`  added to ${KNOWN}`);
}

async function orders(): Promise<number> {
  const print = (line: string) => console.log(line);
  const {
    only = '',
    order,
    seconds,
    deviations = DEVIATIONS,
    faults = 1,
  } = optionsOf(OF_ORDERS, process.argv.slice(3));
  const worlds = scenariosWith(only);
  someOf(
    worlds,
    'small world',
    only,
    scenariosWith('').map(({ name }) => name),
  );
  if (order !== undefined) {
    const verdict = await replay(only, order, print);
    for (const line of verdict) print(line);
    return verdict.length > 0 ? 1 : 0;
  }
  Error.stackTraceLimit = 0;
  const bounds = { deviations, faults };
  const progress = new Progress('explore', worlds.length, 'small worlds');
  const bad = await exploreAll(seconds === undefined ? bounds : { ...bounds, seconds }, worlds, {
    explored: () => progress.add(),
    print: (line) => {
      progress.clear();
      print(line);
    },
  });
  progress.end();
  return bad > 0 ? 1 : 0;
}

if (options.child === true) await child();
else if (explores) process.exitCode = await orders();
else process.exitCode = await (options.seed === undefined ? many() : one(options.seed));
