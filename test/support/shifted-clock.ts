import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { describeWithRedis } from './describe-with-redis.js';

/**
 * A wall clock for processes of its own, which jumps when told to; their monotonic clock goes on as it was. It builds
 * `clock-shift.c`, which also redis-server bears, whose allocator asks for the time before `faketime` can answer.
 */
export class ShiftedClock {
  private constructor(private readonly folder: string) {
    this.jumpTo(0);
  }

  /** Undefined where there is no C compiler. */
  static create(): ShiftedClock | undefined {
    const folder = mkdtempSync(join(tmpdir(), 'dibs-shift-'));
    const source = join(import.meta.dirname, 'clock-shift.c');
    const built = spawnSync('cc', ['-shared', '-fPIC', '-O2', '-o', join(folder, 'shift.so'), source]);
    if (built.status === 0) return new ShiftedClock(folder);
    rmSync(folder, { recursive: true, force: true });
    return undefined;
  }

  /** What a process needs of its environment. */
  get env(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: join(this.folder, 'shift.so'), CLOCK_SHIFT_FILE: this.#file };
  }

  /** From now on, so many seconds beside the true time. */
  jumpTo(seconds: number): void {
    writeFileSync(this.#file, `${seconds}\n`);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #file(): string {
    return join(this.folder, 'seconds');
  }
}

/** As {@link describeWithRedis}, for suites whose Redis has such a clock. Skipped where there is no C compiler. */
export function describeWithShiftedRedis(name: string, suite: () => void): void {
  const isMissing = spawnSync('cc', ['--version']).status !== 0;
  if (isMissing && process.env.CI === 'true') throw new Error(`cc is missing: ${name}`);
  if (isMissing) console.warn(`SKIPPED, for want of cc: ${name}`);
  (isMissing ? describe.skip : describeWithRedis)(name, suite);
}
