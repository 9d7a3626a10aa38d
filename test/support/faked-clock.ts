import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A wall clock for a process of its own, which jumps when told to; its monotonic clock goes on as it was.
 * It needs `faketime`. Node runs under it; Debian's redis-server does not, for its allocator asks for the
 * time before the library can answer.
 */
export class FakedClock {
  readonly #folder = mkdtempSync(join(tmpdir(), 'dibs-clock-'));

  private constructor(private readonly library: string) {
    this.jumpTo(0);
  }

  /** Undefined where there is no `faketime`. */
  static create(): FakedClock | undefined {
    const { status, stdout } = spawnSync('faketime', ['-f', '+0s', 'printenv', 'LD_PRELOAD'], {
      encoding: 'utf8',
    });
    return status === 0 ? new FakedClock(stdout.trim()) : undefined;
  }

  /** What the process needs of its environment. */
  get env(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
  }

  /** From now on, so many seconds beside the true time. */
  jumpTo(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? '' : '+'}${seconds}s\n`);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get #file(): string {
    return join(this.#folder, 'offset');
  }
}
