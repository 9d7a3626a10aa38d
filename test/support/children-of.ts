import { readdirSync, readFileSync } from 'node:fs';

/** The processes that `pid` has started and that still run, in the order of their start. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Whether it runs; one that has ended and was not waited for does not. */
export function isRunning(pid: number): boolean {
  const state = statOf(String(pid))[0];
  return state !== undefined && state !== 'Z';
}

function parentOf(pid: string): number | undefined {
  const [state, parent] = statOf(pid);
  return state === undefined || state === 'Z' ? undefined : Number(parent);
}

/** From its state on: the name before it may contain anything. Empty if it is gone. */
function statOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  } catch {
    return [];
  }
}
