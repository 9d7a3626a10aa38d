import { readFileSync } from 'node:fs';

/** How long this process ran, and how long it waited for a CPU, in nanoseconds. */
function scheduled(): readonly [ran: number, waited: number] {
  try {
    const [ran = 0, waited = 0] = readFileSync('/proc/self/schedstat', 'utf8').split(' ').map(Number);
    return [ran, waited];
  } catch {
    // Only Linux reports this.
    return [0, 0];
  }
}

/**
 * The share of its time that this process waited for a CPU, 0 to 1. Above three quarters, the machine is so busy that a
 * process which usually answers within a second rightly counts as silent.
 */
export async function starvedDuring(work: () => Promise<void>): Promise<number> {
  const [ranBefore, waitedBefore] = scheduled();
  await work();
  const [ran, waited] = scheduled();
  const all = ran - ranBefore + waited - waitedBefore;
  return all === 0 ? 0 : (waited - waitedBefore) / all;
}
