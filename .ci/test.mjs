// What `npm test` runs: every check and every suite, each as a stage with its duration. A failed stage does not stop
// the others, so one run shows everything. The last line is `N passed, N failed, N skipped` over all suites; a stage
// that is not a suite counts as one.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { optionsOf, someOf } from '../test/support/options.mjs';
import { roundTime } from '../test/support/progress.mjs';
import { client, LANGUAGES } from './clients.mjs';
import {
  AT_ONCE,
  bin,
  cannotRun,
  commands,
  countsOf,
  FAILED,
  PASSED,
  root,
  run,
  runKeeping,
  underCi,
} from './commands.mjs';
import { goTests } from './go-tests.mjs';
import { prepare, prepareFolder } from './prepare.mjs';
import { findPrometheus } from './prometheus.mjs';

// `--only types` runs the stages whose names begin with `types`, after the stage that all others need. `--long` is the
// nightly form.
const { only = '', long: isLong = false } = optionsOf({ only: 'text', long: 'flag' });
/** Some suites read this, repeat more and search deeper. */
if (isLong) process.env.DIBS_TEST_LONG = '1';

const scratch = mkdtempSync(join(tmpdir(), 'dibs-test-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

function isDebianInstalled(name) {
  const query = spawnSync('dpkg', ['-s', name], { encoding: 'utf8' });
  return query.status === 0 && /^Status: .* installed$/m.test(query.stdout);
}

async function systemPackages() {
  const names = readFileSync(join(root, '.ci', 'debian-packages'), 'utf8')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
  if (!existsSync('/etc/debian_version')) {
    if (spawnSync('redis-server', ['--version']).status === 0) return PASSED;
    return cannotRun(
      `this is not Debian or Ubuntu; install the equivalent of these packages: ${names.join(' ')}`,
    );
  }
  const missing = names.filter((name) => !isDebianInstalled(name));
  if (missing.length === 0) return PASSED;
  if (process.getuid?.() !== 0) {
    return cannotRun(`missing and not root: run \`apt-get install ${missing.join(' ')}\``);
  }
  console.log(`installing the Debian packages ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update', '-q'], { env });
  const code = await run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...missing], { env });
  return code === 0 ? PASSED : cannotRun(`apt-get could not install ${missing.join(' ')}`);
}

function* filesUnder(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesUnder(path);
    else yield path;
  }
}

/** Generates the code again in another folder and compares it with the committed files, which must not be edited. */
async function generatedCode() {
  const there = join(scratch, 'generated');
  const ours = ['proto', 'package.json'];
  for (const path of ours) cpSync(join(root, path), join(there, path), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(there, 'node_modules'));
  if ((await run('npm', ['run', '--silent', 'generate:typescript'], { cwd: there })) !== 0) return FAILED;
  // The other clients' stages compare their own code.
  const isGenerated = (path) => /^(src|clients\/typescript)\/.*\bgenerated\//.test(path);
  const tracked = spawnSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  const committed = tracked.stdout
    .split('\n')
    .filter((path) => isGenerated(path) && existsSync(join(root, path)));
  const made = [...filesUnder(there)].map((path) => relative(there, path)).filter(isGenerated);
  let same = true;
  for (const path of new Set([...committed, ...made])) {
    const [here, fresh] = [join(root, path), join(there, path)];
    if (existsSync(here) && existsSync(fresh) && readFileSync(here).equals(readFileSync(fresh))) continue;
    console.error(`${path} is not what \`npm run generate:typescript\` writes`);
    same = false;
  }
  return same ? PASSED : FAILED;
}

async function proto() {
  const inProto = { cwd: join(root, 'proto') };
  const lint = await run(bin('buf'), ['lint'], inProto);
  const breaking = await run(bin('buf'), ['breaking', '--against', 'baseline.binpb'], inProto);
  return lint === 0 && breaking === 0 ? PASSED : FAILED;
}

const TYPED = [
  '.',
  'src/http/console',
  'test',
  'test/bench',
  'test/conformance',
  'clients/typescript',
  'clients/typescript/test',
];

async function types() {
  // The libraries in the benches have their own types.
  await prepareFolder('test/bench');
  const projects = TYPED.filter((path) => existsSync(join(root, path, 'tsconfig.json')));
  return commands(...projects.map((path) => [bin('tsc'), '--noEmit', '-p', path]));
}

async function vitest() {
  const report = join(scratch, 'vitest.json');
  const code = await run(bin('vitest'), [
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  if (!existsSync(report)) return FAILED;
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  // Vitest also fails for errors outside of tests, for example a file that cannot be read.
  const failed = code !== 0 && numFailedTests === 0 ? 1 : numFailedTests;
  const skipped = numPendingTests + numTodoTests;
  if (skipped > 0) console.error(`\n*** SKIPPED: ${skipped} tests, see above\n`);
  const failures = testResults.flatMap(failuresOfFile);
  return underCi
    ? { passed: numPassedTests, failed: failed + skipped, skipped: 0, failures }
    : { passed: numPassedTests, failed, skipped, failures };
}

/** One line for each test of a file that failed, or for the file if it could not be read. */
function failuresOfFile({ name, status, message, assertionResults }) {
  const firstLine = (text) => text.split('\n')[0];
  const file = relative(root, name);
  const failed = assertionResults.filter((test) => test.status === 'failed');
  if (failed.length === 0) return status === 'failed' ? [`${file}: ${firstLine(message)}`] : [];
  return failed.map(
    (test) => `${file}: ${test.fullName.trim()}: ${firstLine(test.failureMessages[0] ?? '')}`,
  );
}

/**
 * Every order of each small world, up to a bound, and a fixed range of seeds, so that a failure is caused by the change
 * and not by chance. New seeds are for `--long` and `npm run simulate`.
 */
async function simulation() {
  const many = isLong
    ? ['--seconds', '3600', '--min', '200000', '--meet', '100']
    : ['--seeds', '3000', '--from', '1264474486'];
  const main = join('test', 'simulation', 'dist', 'test', 'simulation', 'main.js');
  const orders = ['explore', '--deviations', isLong ? '3' : '2'];
  // A few of these are among the unit tests.
  const abouts = isLong ? ['clients', 'lateness'] : [];
  return commands(
    [bin('tsc'), '-p', join('test', 'simulation')],
    [process.execPath, main, ...orders],
    [process.execPath, main, ...many],
    ...abouts.map((about) => [process.execPath, main, '--about', about, '--seeds', '10000']),
  );
}

async function mutants() {
  return commands([process.execPath, join('test', 'mutants', 'run.mjs')]);
}

/** The Dockerfile, the Kubernetes manifests and the workflows, checked with the code of the programs that read them. */
async function deploy() {
  if (spawnSync('go', ['version']).status !== 0) return cannotRun('test/deploy: go is not installed');
  const sum = { passed: 0, failed: 0, skipped: 0 };
  // The workflow linter needs another version of a shared library.
  for (const folder of ['deploy', 'workflows']) {
    const counts = await goTests(join(root, 'test', folder));
    for (const name of Object.keys(sum)) sum[name] += counts[name];
  }
  return sum;
}

/** Every client plays the same scenarios on a real quorum. */
async function conformance() {
  const builds = ['clients/typescript/conformance', 'test/conformance'];
  const built = await commands(...builds.map((path) => [bin('tsc'), '-p', path]));
  if (built.failed > 0) return built;
  const main = join('test', 'conformance', 'dist', 'test', 'conformance', 'main.js');
  const { code, output } = await runKeeping(process.execPath, [main]);
  return countsOf(output, code);
}

const PREPARE = 'packages and build';
/**
 * The alert rules as Prometheus reads them, the conditions under which they fire, and the configuration that loads
 * them.
 */
async function alerts() {
  const { promtool } = findPrometheus(root) ?? {};
  if (promtool === undefined) return cannotRun('the alert rules: promtool is not installed');
  return commands(
    [promtool, 'check', 'rules', 'deploy/alerts/dibs.rules.yaml'],
    [promtool, 'test', 'rules', 'deploy/alerts/dibs.rules.test.yaml'],
    [promtool, 'check', 'config', 'deploy/prometheus/prometheus.yml'],
  );
}

const stages = [
  [PREPARE, async () => prepare().then(() => PASSED)],
  ['system packages', systemPackages],
  ['generated code', generatedCode],
  ['proto: lint and breaking changes', proto],
  [
    'lint, format, imports',
    () => commands([bin('biome'), 'check', '--error-on-warnings', '--max-diagnostics=200']),
  ],
  ['types', types],
  ['vitest', vitest],
  ['simulation', simulation],
  ...LANGUAGES.map((language) => [`client: ${language}`, (out) => client(language, out), 'beside']),
  ['conformance', conformance],
  ['deploy', deploy],
  ['alerts', alerts],
  ...(isLong ? [['mutants', mutants]] : []),
];

/** How long each stage took here last time, for an estimate of the remaining time. */
const SECONDS = join(root, 'node_modules', '.cache', 'dibs-test-seconds.json');
const secondsBefore = existsSync(SECONDS) ? JSON.parse(readFileSync(SECONDS, 'utf8')) : {};

const names = stages.map(([name]) => name);
someOf(
  names.filter((name) => name.startsWith(only)),
  'stage',
  only,
  names,
);
const wanted = stages.filter(([name]) => name === PREPARE || name.startsWith(only));
const startedMs = performance.now();
const rows = [];

/** `── vitest (7 of 14, 2 min so far, about 9 min left)` */
function heading(name) {
  const at = wanted.findIndex(([it]) => it === name);
  const so = roundTime(performance.now() - startedMs);
  const left = wanted.slice(at).map(([it]) => secondsBefore[it]);
  // Clients run in parallel, so the sum is an upper bound.
  const guess = left.includes(undefined)
    ? ''
    : `, at most ${roundTime(left.reduce((sum, seconds) => sum + seconds * 1_000, 0))} left, as last time`;
  return `\n── ${name} (${at + 1} of ${wanted.length}, ${so} so far${guess})\n`;
}

async function play([name, stage], out) {
  out.write(heading(name));
  const stageMs = performance.now();
  let counts = FAILED;
  try {
    counts = await stage(out);
  } catch (error) {
    out.write(`${error instanceof Error ? error.message : error}\n`);
  }
  rows.push({ name, seconds: (performance.now() - stageMs) / 1000, ...counts });
  return counts;
}

/** Runs as many stages at once as there are cores. Each stage's output is printed when it has ended. */
async function playBeside(group) {
  const queue = [...group];
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const kept = [];
      await play(next, { write: (data) => kept.push(String(data)) });
      process.stdout.write(kept.join(''));
    }
  };
  if (group.length > 1) console.log(`\n── ${group.map(([name]) => name).join(', ')}: side by side`);
  await Promise.all(Array.from({ length: Math.min(group.length, availableParallelism()) }, work));
}

for (let at = 0; at < wanted.length; at += 1) {
  const [name, , beside] = wanted[at];
  if (beside === undefined) {
    const counts = await play(wanted[at], AT_ONCE);
    // Without packages nothing else can run.
    if (name === PREPARE && counts.failed > 0) break;
    continue;
  }
  const group = wanted.filter(([, , it]) => it === beside);
  await playBeside(group);
  at += group.length - 1;
}

console.log();
for (const { name, seconds, passed, failed, skipped } of rows) {
  const verdict = failed > 0 ? 'FAILED' : skipped > 0 && passed === 0 ? 'skipped' : 'ok';
  console.log(`${verdict.padEnd(8)} ${`${seconds.toFixed(1)} s`.padStart(8)}  ${name}`);
}
// Repeats what failed, for when only the end of the output is kept.
for (const { name, failures = [] } of rows) {
  if (failures.length > 0) console.log(`\nFAILED ${name}\n  ${failures.join('\n  ')}`);
}
if (existsSync(join(root, 'node_modules'))) {
  const seconds = Object.fromEntries(rows.map(({ name, seconds }) => [name, seconds]));
  mkdirSync(dirname(SECONDS), { recursive: true });
  writeFileSync(SECONDS, JSON.stringify({ ...secondsBefore, ...seconds }));
}
const total = (count) => rows.reduce((sum, row) => sum + row[count], 0);
console.log(`\n${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`);
process.exitCode = total('failed') > 0 ? 1 : 0;
