import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { endWithThisProcess } from './end-with-this-process.js';

/** A process that holds a lease and rebuilds until it is killed. */
export class HolderProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** When its lease ends, on `performance.now()`. Late by the time that the answer took to arrive. */
    readonly leaseEndsAtMs: number,
  ) {}

  /** Starts a holder. Resolves when it has the lease; rejects on any other answer. */
  static start(target: string, key: string, leaseMs: number): Promise<HolderProcess> {
    return HolderProcess.run('test/support/holder.mjs', [target, key, String(leaseMs)]);
  }

  /** Runs a script that prints `{"lease":{"expiresInMs":…}}` once it holds the lease, and then runs forever. */
  static async run(script: string, args: readonly string[]): Promise<HolderProcess> {
    const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    endWithThisProcess(child);
    const line = await Promise.race([
      once(createInterface({ input: child.stdout }), 'line').then(([text]) => String(text)),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`the holder ended with code ${code}`))),
    ]);
    const { lease } = JSON.parse(line);
    if (lease === undefined || lease === null) {
      child.kill('SIGKILL');
      throw new Error(`the holder got no lease: ${line}`);
    }
    return new HolderProcess(child, performance.now() + lease.expiresInMs);
  }

  /** Sends `kill -9`. Resolves when the process has ended. */
  async kill(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}
