import { readFileSync } from 'node:fs';

/** Of Linux, for all processes that read `/proc`. */
const TICKS_PER_SECOND = 100;

/** The processor time that a process has taken so far, in milliseconds; 0 where the machine does not say it in /proc. */
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

/** The same of its main thread alone, such as all of Redis' work: for one thread the kernel counts nanoseconds. */
export function mainThreadMsOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}
