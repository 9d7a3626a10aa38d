import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Ends `child` when this process ends, in whatever way that is. A shell that holds the other end of a
 * pipe sees it close when we are gone, also by `kill -9`, when no handler of ours can run.
 */
export function endWithThisProcess(child: ChildProcess): void {
  // Without a pid it never started; its own error event says why.
  if (child.pid === undefined) return;
  const watchdog = spawn('sh', ['-c', 'cat >/dev/null; kill -9 "$0"', `${child.pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watchdog.unref();
  // Ended first, so that it cannot hit another process that was given the same pid.
  child.once('exit', () => watchdog.kill('SIGKILL'));
}
