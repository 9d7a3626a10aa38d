import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Ends `child` when this process ends, however it ends. A shell holds the other end of a pipe and sees it close, even
 * after `kill -9`, when none of our handlers can run.
 */
export function endWithThisProcess(child: ChildProcess): void {
  // Without a pid it never started. Its error event says why.
  if (child.pid === undefined) return;
  const watchdog = spawn('sh', ['-c', 'cat >/dev/null; kill -9 "$0"', `${child.pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.unref();
  // The shell is ended first, so that it cannot kill another process that has reused the pid.
  child.once('exit', () => watchdog.kill('SIGKILL'));
}
