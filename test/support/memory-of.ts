import { existsSync, readFileSync } from 'node:fs';

/** The memory that a process uses, in bytes; 0 on machines without /proc. */
export function memoryOf(pid: number): number {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return 0;
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(file, 'utf8')) ?? [];
  return Number(kilobytes) * 1_024;
}
