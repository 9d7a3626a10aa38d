import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { describeWithRedis } from './describe-with-redis.js';

/**
 * A wall clock for separate processes. It jumps when a test says so; the monotonic clock is not changed. It builds
 * `clock-shift.c`, which redis-server can use: its allocator asks for the time before `faketime` can answer.
 */
export class ShiftedClock {
  private constructor(private readonly folder: string) {
    this.jumpTo(0);
  }

  /** Undefined if there is no C compiler. */
  static create(): ShiftedClock | undefined {
    const folder = mkdtempSync(join(tmpdir(), 'dibs-shift-'));
    const source = join(import.meta.dirname, 'clock-shift.c');
    const built = spawnSync('cc', ['-shared', '-fPIC', '-O2', '-o', join(folder, 'shift.so'), source]);
    if (built.status === 0) return new ShiftedClock(folder);
    rmSync(folder, { recursive: true, force: true });
    return undefined;
  }

  /** The variables that a process needs. */
  get env(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: join(this.folder, 'shift.so'), CLOCK_SHIFT_FILE: this.#file };
  }

  /** Sets the offset from the true time, in seconds. */
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

/** {@link describeWithRedis} for suites whose Redis uses such a clock. Skipped without a C compiler. */
export function describeWithShiftedRedis(name: string, suite: () => void): void {
  const isMissing = spawnSync('cc', ['--version']).status !== 0;
  if (isMissing && process.env.CI === 'true') throw new Error(`cc is missing: ${name}`);
  if (isMissing) console.warn(`SKIPPED, for want of cc: ${name}`);
  (isMissing ? describe.skip : describeWithRedis)(name, suite);
}
