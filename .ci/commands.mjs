// How the stages of `npm test` run commands and count their results.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');
export const bin = (name) => join(root, 'node_modules', '.bin', name);
export const underCi = process.env.CI === 'true';

export const PASSED = { passed: 1, failed: 0, skipped: 0 };
export const FAILED = { passed: 0, failed: 1, skipped: 0 };
const SKIPPED = { passed: 0, failed: 0, skipped: 1 };

/** Prints a stage's output at once. If stages run in parallel, it is printed after the stage has ended instead. */
export const AT_ONCE = { write: (data) => process.stdout.write(data) };

/** Runs a command, streams its output, and returns its exit code. */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(127);
    });
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

export async function commands(...lines) {
  let failed = false;
  for (const [command, ...args] of lines) failed = (await run(command, args)) !== 0 || failed;
  return failed ? FAILED : PASSED;
}

/** Like {@link run}, but returns the output too. */
export function runKeeping(command, args, out = AT_ONCE) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (data) => {
      output = `${output}${data}`.slice(-100_000);
      out.write(data);
    });
    child.stderr.on('data', (data) => out.write(data));
    child.on('error', (error) => {
      out.write(`${command}: ${error.message}\n`);
      resolve({ code: 127, output });
    });
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** Reports something that cannot run here: a warning on a laptop, a failure with `CI=true`. */
export function cannotRun(what, out = AT_ONCE) {
  out.write(`\n*** SKIPPED: ${what}\n\n`);
  return underCi ? FAILED : SKIPPED;
}

/** Reads the counts in a suite's last line. If it failed, keeps the lines before it for the end of the run. */
export function countsOf(output, code) {
  const failures = output.trimEnd().split('\n').slice(-12);
  const [, passed, failed, skipped] = /(\d+) passed, (\d+) failed, (\d+) skipped\s*$/.exec(output) ?? [];
  if (passed === undefined) return { ...FAILED, failures };
  const counts = { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) };
  if (code === 0 && counts.failed === 0) return counts;
  return { ...counts, failed: Math.max(1, counts.failed), failures };
}
