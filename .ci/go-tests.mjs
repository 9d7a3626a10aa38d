// Runs the tests of a Go module and counts them. A test with subtests is not counted itself. A failure outside of
// subtests counts as one more. `node go-tests.mjs FOLDER [FLAGS OF go test]` prints the counts as its last line. The Go
// client's own `test` runs it.
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

function isFormatted(folder) {
  const { stdout, status } = spawnSync('gofmt', ['-l', '.'], { cwd: folder, encoding: 'utf8' });
  if (stdout !== '') console.error(`gofmt would change: ${stdout.trim().split('\n').join(' ')}`);
  return status === 0 && stdout === '';
}

function isVetted(folder) {
  return (
    spawnSync('go', ['vet', './...'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0
  );
}

/** Returns how each test ended, by its name. Prints the output of failed tests to standard error. */
function endsOf(folder, flags) {
  return new Promise((resolve) => {
    // Without `-count=1` Go would use cached results, although the files outside of the module may have changed. Its own
    // limit is ten minutes, which a busy machine may need for what takes two.
    const child = spawn('go', ['test', '-json', '-count=1', '-timeout=30m', ...flags, './...'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ends = new Map();
    const printed = new Map();
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { Action, Package, ImportPath, Test, Output } = JSON.parse(line);
      const name = Test === undefined ? (Package ?? ImportPath) : `${Package} ${Test}`;
      if (Output !== undefined) printed.set(name, (printed.get(name) ?? '') + Output);
      if (Action.endsWith('fail')) process.stderr.write(printed.get(name) ?? '');
      if (Test !== undefined && ['pass', 'fail', 'skip'].includes(Action)) ends.set(name, Action);
    });
    child.on('error', () => resolve({ ends, code: 127 }));
    child.on('close', (code) => resolve({ ends, code: code ?? 1 }));
  });
}

export async function goTests(folder, flags = []) {
  const sound = [isFormatted(folder), isVetted(folder)].every(Boolean);
  const { ends, code } = await endsOf(folder, flags);
  const names = [...ends.keys()];
  const leaves = names.filter((name) => !names.some((other) => other.startsWith(`${name}/`)));
  const count = (end) => leaves.filter((name) => ends.get(name) === end).length;
  const failed = count('fail');
  const beside = (!sound || code !== 0 || leaves.length === 0) && failed === 0 ? 1 : 0;
  return { passed: count('pass'), failed: failed + beside, skipped: count('skip') };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, ...flags] = process.argv.slice(2);
  const { passed, failed, skipped } = await goTests(folder, flags);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
}
