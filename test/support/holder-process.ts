import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { endWithThisProcess } from './end-with-this-process.js';

/** A process that took a lease and now rebuilds forever, until it is killed. */
export class HolderProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** When its lease ends, on `performance.now()`; a little late, by the time that the answer travelled. */
    readonly leaseEndsAtMs: number,
  ) {}

  /** Takes the lease of a key. Resolves when it has come; rejects if anything else came. */
  static start(target: string, key: string, leaseMs: number): Promise<HolderProcess> {
    return HolderProcess.run('test/support/holder.mjs', [target, key, String(leaseMs)]);
  }

  /** Any script that prints `{"lease":{"expiresInMs":…}}` once it holds, and then goes on forever. */
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

  /** `kill -9`; resolves when it has gone. */
  async kill(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}
