import { existsSync, readFileSync } from 'node:fs';

/** What a process holds of the machine's memory, in bytes; 0 where the machine does not say it in /proc. */
export function memoryOf(pid: number): number {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return 0;
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(file, 'utf8')) ?? [];
  return Number(kilobytes) * 1_024;
}
