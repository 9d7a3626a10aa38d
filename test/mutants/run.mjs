// npm run mutants [-- --only NAME] [-- --jobs N]
//
// Applies each patch to a copy of the repository and runs suites on it until one fails: the suite that the patch names,
// then all unit and contract suites, then a few hundred simulated seeds. The exit code is 1 if a mutant survives or a
// patch does not apply.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { optionsOf, someOf } from '../support/options.mjs';
import { Progress } from '../support/progress.mjs';
import { patches, root } from './patches.mjs';

const COPIED = ['src', 'test', 'clients', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
const SEEDS = 300;
/** A suite that runs longer hangs on the mutant, which counts as killed. */
const KILLED_MS = 180_000;
/** All suites that mutants name, together. */
const GREEN_MS = 1_800_000;

/** Returns the exit code and the output. Kills a command that takes longer than `killedMs`. */
function run(command, args, cwd, killedMs = KILLED_MS) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
    const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), killedMs);
    child.on('exit', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? 1, output });
    });
  });
}

function copy() {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-mutant-'));
  const filter = (path) => !/(^|\/)(node_modules|dist|mutants)$/.test(path);
  for (const path of COPIED) cpSync(join(root, path), join(folder, path), { recursive: true, filter });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

const vitest = (folder, suites, killedMs) =>
  run(join(root, 'node_modules/.bin/vitest'), ['run', '--bail=1', '--no-color', ...suites], folder, killedMs);

/** The first failed test, as vitest names it. */
function failedTest(output) {
  const [, line] = /^ *FAIL +(?:\|?\w+\|? +)?(.+)$/m.exec(output) ?? [];
  return line?.trim() ?? 'a suite that could not run, or hung';
}

/** Returns what killed the mutant in `folder`; undefined if it survived. */
async function kill(folder, killer) {
  const expected = await vitest(folder, [killer]);
  if (expected.code !== 0) return failedTest(expected.output);
  // Without the house rules and builds, which do not test behaviour.
  const all = await vitest(folder, [
    'test/unit/coordination',
    'test/unit/quorum',
    'test/unit/memory',
    'test/unit/redis',
    'test/unit/grpc',
    'test/contract',
  ]);
  if (all.code !== 0) return `${failedTest(all.output)} (not by ${killer})`;
  const built = await run(join(root, 'node_modules/.bin/tsc'), ['-p', 'test/simulation'], folder);
  if (built.code !== 0) return undefined;
  const main = 'test/simulation/dist/test/simulation/main.js';
  const seeds = await run(
    process.execPath,
    [main, '--seeds', `${SEEDS}`, '--from', '1', '--meet', '0'],
    folder,
  );
  return seeds.code === 0 ? undefined : 'simulation';
}

async function tried({ name, breaks, killer, path }) {
  const folder = copy();
  const startMs = performance.now();
  try {
    const applied = await run('git', ['apply', '--recount', path], folder);
    if (applied.code !== 0) return { name, breaks, verdict: 'DOES NOT APPLY', by: applied.output.trim() };
    const by = await kill(folder, killer);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
    return { name, breaks, verdict: by === undefined ? 'SURVIVED' : 'killed', by: by ?? '', seconds };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether the suites of these mutants pass without a mutant. Otherwise their failures would prove nothing. */
async function isGreen(mutants) {
  const folder = copy();
  try {
    const killers = new Set(mutants.map(({ killer }) => killer));
    const { code, output } = await vitest(folder, killers, GREEN_MS);
    if (code !== 0) console.error(output);
    return code === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const { only = '', jobs = availableParallelism() } = optionsOf({ only: 'text', jobs: 'number' });
const all = patches();
const queue = all.filter(({ name }) => name.includes(only));
someOf(
  queue,
  'mutant',
  only,
  all.map(({ name }) => name),
);
console.error('mutants: running the suites without a mutant first');
if (!(await isGreen(queue))) {
  console.error('the suites fail without a mutant');
  process.exit(1);
}
const rows = [];
const progress = new Progress('mutants', queue.length, 'mutants');
const work = async () => {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const row = await tried(mutant);
    rows.push(row);
    progress.add();
    progress.clear();
    console.log(
      `${row.verdict.padEnd(9)} ${`${row.seconds} s`.padStart(6)}  ${row.name}  [${row.breaks}]  ${row.by}`,
    );
  }
};
await Promise.all(Array.from({ length: jobs }, work));
progress.end();
const killed = rows.filter(({ verdict }) => verdict === 'killed').length;
console.log(`\n${rows.length} mutants, ${killed} killed, ${rows.length - killed} not`);
process.exitCode = killed === rows.length ? 0 : 1;
