import { readFileSync } from 'node:fs';

/** Linux's clock ticks per second in `/proc`. */
const TICKS_PER_SECOND = 100;

/** The processor time that a process has used so far, in milliseconds; 0 on machines without /proc. */
export function cpuMsOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}

/** The same for its main thread alone, which does all of Redis' work. The kernel counts a thread in nanoseconds. */
export function mainThreadMsOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}
