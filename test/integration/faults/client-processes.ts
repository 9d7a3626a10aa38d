import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithThisProcess } from '../../support/end-with-this-process.js';
import type { Entry } from './history.js';

const SCRIPT = 'test/integration/faults/dist/test/integration/faults/soak-client.js';
const CLIENTS_EACH = 8;

/** Client processes that are restarted when they are killed, and the history that they write. */
export class ClientProcesses {
  readonly #folder = mkdtempSync(join(tmpdir(), 'dibs-soak-'));
  readonly #children: ChildProcess[] = [];
  #started = 0;

  constructor(
    private readonly targets: readonly string[],
    private readonly seed: number,
    count: number,
  ) {
    for (let at = 0; at < count; at += 1) this.#start(at);
  }

  get count(): number {
    return this.#children.length;
  }

  signal(at: number, signal: NodeJS.Signals): void {
    this.#children[at]?.kill(signal);
  }

  /** Kills a process with SIGKILL, and starts another in its place. */
  async replace(at: number): Promise<void> {
    const child = this.#children[at];
    child?.kill('SIGKILL');
    if (child !== undefined && child.exitCode === null && child.signalCode === null)
      await once(child, 'exit');
    this.#start(at);
  }

  /** Stops all processes after their calls have ended. */
  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = once(child, 'exit');
        child.kill('SIGTERM');
        await gone;
      }),
    );
  }

  /** Returns the entries of all processes. The last line of a killed process may be incomplete, and is ignored. */
  history(): Entry[] {
    return readdirSync(this.#folder).flatMap((file) =>
      readFileSync(join(this.#folder, file), 'utf8')
        .split('\n')
        .filter((line) => line.endsWith('}'))
        .map((line) => JSON.parse(line) as Entry),
    );
  }

  remove(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #start(at: number): void {
    this.#started += 1;
    const log = join(this.#folder, `${this.#started}.jsonl`);
    const seed = String(this.seed * 1_000 + this.#started);
    const child = fork(SCRIPT, [this.targets.join(','), log, seed, String(CLIENTS_EACH)], { execArgv: [] });
    endWithThisProcess(child);
    this.#children[at] = child;
  }
}
