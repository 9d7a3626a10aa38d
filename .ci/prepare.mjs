// Installs and builds what is missing, so that `npm start` and `npm test` work on a fresh clone. Plain Node without
// dependencies, because it runs before they are installed. It writes to standard error only, because standard output
// belongs to the program that starts next.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const lock = join(root, '.prepare.lock');
const buildStamp = join(root, 'dist', '.built-from');

function say(message) {
  process.stderr.write(`prepare: ${message}\n`);
}

function run(command, args, cwd) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: ['ignore', 2, 2] });
  if (error) throw new Error(`${command} could not be started: ${error.message}`);
  if (status !== 0) throw new Error(`\`${[command, ...args].join(' ')}\` failed; its output is above`);
}

/**
 * Whether `node_modules` matches the lock file. npm keeps its own lock file there, written last, so an interrupted
 * install is detected too.
 */
function installed(folder) {
  const own = join(folder, 'node_modules', '.package-lock.json');
  const wanted = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages;
  const present = existsSync(own) ? JSON.parse(readFileSync(own, 'utf8')).packages : {};
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.includes('node_modules/') || entry.link) return true;
    const there = present[path];
    // Binaries for other machines are in the lock file and are never installed.
    if (!there) return entry.optional === true;
    return there.version === entry.version && there.integrity === entry.integrity;
  });
}

function* filesUnder(folder) {
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* filesUnder(path);
    else yield path;
  }
}

/** A hash of everything that the build reads. */
function sourcesHash() {
  const hash = createHash('sha256');
  const folders = ['src', 'clients/typescript/src'].filter((folder) => existsSync(join(root, folder)));
  const sources = folders.flatMap((folder) => [...filesUnder(folder)]);
  const client = ['package.json', 'build.mjs', 'tsconfig.json', 'tsconfig.commonjs.json'].map(
    (name) => `clients/typescript/${name}`,
  );
  const own = client.filter((path) => existsSync(join(root, path)));
  for (const path of ['package.json', 'package-lock.json', 'tsconfig.json', ...own, ...sources]) {
    hash.update(`${path}\0`).update(readFileSync(join(root, path)));
  }
  return hash.digest('hex');
}

function built() {
  return existsSync(buildStamp) && readFileSync(buildStamp, 'utf8') === sourcesHash();
}

function processLives(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** The process that is preparing now. The lock is a symbolic link to its pid, which is created in one step. */
function lockHolder() {
  try {
    return Number(readlinkSync(lock));
  } catch {
    return undefined; // It has just ended.
  }
}

function removeLockOf(deadHolder) {
  const aside = `${lock}.${process.pid}`;
  try {
    renameSync(lock, aside);
    // Two waiting processes see the same dead holder, and the first takes over. The second then moves the first one's
    // lock aside and has to put it back.
    if (Number(readlinkSync(aside)) !== deadHolder) renameSync(aside, lock);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  rmSync(aside, { force: true });
}

/** Runs `work` in one process at a time. The lock of a dead process is taken over. */
async function locked(work) {
  for (let look = 0; ; look++) {
    try {
      symlinkSync(String(process.pid), lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const holder = lockHolder();
    if (holder !== undefined && !processLives(holder)) {
      removeLockOf(holder);
      continue;
    }
    if (look === 0) say(`waiting for process ${holder}, which is already preparing`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  try {
    work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Installs the packages of the root or of a folder below it, if any are missing. */
export async function prepareFolder(folder) {
  const path = join(root, folder);
  if (installed(path)) return;
  await locked(() => {
    if (installed(path)) return;
    say(`installing packages (npm ci in ${folder})`);
    run('npm', ['ci', '--no-audit', '--no-fund'], path);
  });
}

export async function prepare() {
  await prepareFolder('.');
  if (built()) return;
  await locked(() => {
    if (built()) return;
    say('building dist');
    const hash = sourcesHash();
    run('npm', ['run', '--silent', 'build'], root);
    writeFileSync(buildStamp, hash);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const folders = process.argv.slice(2);
    await prepare();
    for (const folder of folders) await prepareFolder(folder);
  } catch (error) {
    say(error.message);
    process.exit(1);
  }
}
