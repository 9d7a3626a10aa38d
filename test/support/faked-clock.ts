import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A wall clock for a separate process. It jumps when a test says so; the monotonic clock is not changed. It needs
 * `faketime`. Node runs under it. Debian's redis-server does not, because its allocator asks for the time before the
 * library can answer.
 */
export class FakedClock {
  readonly #folder = mkdtempSync(join(tmpdir(), 'dibs-clock-'));

  private constructor(private readonly library: string) {
    this.jumpTo(0);
  }

  /** Undefined if `faketime` is not installed. */
  static create(): FakedClock | undefined {
    const { status, stdout } = spawnSync('faketime', ['-f', '+0s', 'printenv', 'LD_PRELOAD'], {
      encoding: 'utf8',
    });
    return status === 0 ? new FakedClock(stdout.trim()) : undefined;
  }

  /** The variables that the process needs. */
  get env(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
  }

  /** Sets the offset from the true time, in seconds. */
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
