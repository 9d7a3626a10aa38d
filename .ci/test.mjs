// What `npm test` runs: every check and every suite, each as a stage with its seconds. A stage that
// fails does not stop the others, so that one run shows everything. The last line is
// `N passed, N failed, N skipped` over all suites, where a stage that is not a suite counts as one.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { goTests } from './go-tests.mjs';
import { prepare, prepareFolder } from './prepare.mjs';
import { findPromtool } from './promtool.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const underCi = process.env.CI === 'true';
const bin = (name) => join(root, 'node_modules', '.bin', name);
const scratch = mkdtempSync(join(tmpdir(), 'dibs-test-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

const args = process.argv.slice(2);
/** `--long` is the form for the night: suites that read this repeat more and search deeper. */
if (args.includes('--long')) process.env.DIBS_TEST_LONG = '1';
/** `--only types` runs the stages whose name begins so. */
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : '';

const PASSED = { passed: 1, failed: 0, skipped: 0 };
const FAILED = { passed: 0, failed: 1, skipped: 0 };
const SKIPPED = { passed: 0, failed: 0, skipped: 1 };

/** Runs a command with its output streamed to ours; its exit code. */
function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(127);
    });
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

async function commands(...lines) {
  let failed = false;
  for (const [command, ...args] of lines) failed = (await run(command, args)) !== 0 || failed;
  return failed ? FAILED : PASSED;
}

/** Something that cannot run here: loud on a laptop, a failure where everything must be there. */
function cannotRun(what) {
  console.error(`\n*** SKIPPED: ${what}\n`);
  return underCi ? FAILED : SKIPPED;
}

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
    return cannotRun(`this is not Debian or Ubuntu; install by hand what these name: ${names.join(' ')}`);
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

/** Generates again, elsewhere, and compares with what is committed: generated code is never edited. */
async function generatedCode() {
  const there = join(scratch, 'generated');
  const ours = ['proto', 'package.json'];
  for (const path of ours) cpSync(join(root, path), join(there, path), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(there, 'node_modules'));
  if ((await run('npm', ['run', '--silent', 'generate:typescript'], { cwd: there })) !== 0) return FAILED;
  // Each other client compares its own.
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
  // Its rivals have types of their own.
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
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  // Vitest also fails for what belongs to no test, such as an error outside of them or a file that cannot be read.
  const failed = code !== 0 && numFailedTests === 0 ? 1 : numFailedTests;
  const skipped = numPendingTests + numTodoTests;
  if (skipped > 0) console.error(`\n*** SKIPPED: ${skipped} tests, see above\n`);
  return underCi
    ? { passed: numPassedTests, failed: failed + skipped, skipped: 0 }
    : { passed: numPassedTests, failed, skipped };
}

/** A minute of seeds that nobody has seen before; a night's worth with `--long`. */
async function simulation() {
  const many = args.includes('--long')
    ? ['--seconds', '3600', '--min', '200000', '--meet', '100']
    : ['--seconds', '60', '--min', '2000'];
  const main = join('test', 'simulation', 'dist', 'test', 'simulation', 'main.js');
  return commands([bin('tsc'), '-p', join('test', 'simulation')], [process.execPath, main, ...many]);
}

async function mutants() {
  return commands([process.execPath, join('test', 'mutants', 'run.mjs')]);
}

/** The clients in other languages: what must be on the machine for each. */
const CLIENTS = {
  go: ['go', 'version'],
  python: ['python3', '-c', 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'],
  java: ['mvn', '--version'],
  rust: ['cargo', '--version'],
};

const hashesUnder = (folder) => {
  const { stdout } = spawnSync('git', ['ls-files', '-co', '--exclude-standard', folder], {
    cwd: root,
    encoding: 'utf8',
  });
  const paths = stdout.split('\n').filter((path) => path !== '' && existsSync(join(root, path)));
  return paths.map(
    (path) =>
      `${path} ${createHash('sha256')
        .update(readFileSync(join(root, path)))
        .digest('hex')}`,
  );
};

/** The last line of a suite that counts itself. */
function countsOf(output, code) {
  const [, passed, failed, skipped] = /(\d+) passed, (\d+) failed, (\d+) skipped\s*$/.exec(output) ?? [];
  if (passed === undefined) return FAILED;
  const counts = { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) };
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/** As {@link run}, with what was printed kept too. */
function runKeeping(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (data) => {
      output = `${output}${data}`.slice(-100_000);
      process.stdout.write(data);
    });
    child.on('error', () => resolve({ code: 127, output }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** A client in another language: generated again and compared, built, checked and tested. */
async function client(language) {
  const [command, ...probe] = CLIENTS[language];
  if (spawnSync(command, probe).status !== 0)
    return cannotRun(`the ${language} client: there is no ${command}`);
  const tasks = `clients/${language}/tasks.sh`;
  const before = hashesUnder(`clients/${language}`);
  if ((await run(tasks, ['generate'])) !== 0) return FAILED;
  const changed = hashesUnder(`clients/${language}`).filter((file) => !before.includes(file));
  for (const file of changed) console.error(`${file.split(' ')[0]} is not what \`${tasks} generate\` writes`);
  if (changed.length > 0) return FAILED;
  if ((await run(tasks, ['build'])) !== 0) return FAILED;
  const { code, output } = await runKeeping(tasks, ['test']);
  return countsOf(output, code);
}

/** The Dockerfile and the Kubernetes manifests, by the code of those who will read them. */
async function deploy() {
  if (spawnSync('go', ['version']).status !== 0) return cannotRun('test/deploy: there is no go');
  return goTests(join(root, 'test', 'deploy'));
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
/** The alert rules as Prometheus reads them, what they fire on, and the configuration that loads them. */
async function alerts() {
  const promtool = findPromtool(root);
  if (promtool === undefined) return cannotRun('the alert rules: there is no promtool');
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
  ...Object.keys(CLIENTS)
    .filter((language) => existsSync(join(root, 'clients', language, 'tasks.sh')))
    .map((language) => [`client: ${language}`, () => client(language)]),
  ['conformance', conformance],
  ['deploy', deploy],
  ['alerts', alerts],
  ...(args.includes('--long') ? [['mutants', mutants]] : []),
];

const rows = [];
for (const [name, stage] of stages.filter(([name]) => name.startsWith(only))) {
  console.log(`\n── ${name}`);
  const startMs = performance.now();
  let counts = FAILED;
  try {
    counts = await stage();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
  }
  rows.push({ name, seconds: (performance.now() - startMs) / 1000, ...counts });
  // Without packages nothing else can run.
  if (name === PREPARE && counts.failed > 0) break;
}

console.log();
for (const { name, seconds, passed, failed, skipped } of rows) {
  const verdict = failed > 0 ? 'FAILED' : skipped > 0 && passed === 0 ? 'skipped' : 'ok';
  console.log(`${verdict.padEnd(8)} ${`${seconds.toFixed(1)} s`.padStart(8)}  ${name}`);
}
const total = (count) => rows.reduce((sum, row) => sum + row[count], 0);
console.log(`\n${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`);
process.exitCode = total('failed') > 0 ? 1 : 0;
