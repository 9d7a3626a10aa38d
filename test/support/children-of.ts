import { readdirSync, readFileSync } from 'node:fs';

/** The running child processes of `pid`, oldest first. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Whether a process runs. A zombie does not. */
export function isRunning(pid: number): boolean {
  const state = statOf(String(pid))[0];
  return state !== undefined && state !== 'Z';
}

function parentOf(pid: string): number | undefined {
  const [state, parent] = statOf(pid);
  return state === undefined || state === 'Z' ? undefined : Number(parent);
}

/** The fields after the process name, which may contain anything. Empty if the process is gone. */
function statOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  } catch {
    return [];
  }
}
