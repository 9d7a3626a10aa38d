import { readFileSync } from 'node:fs';

/** Nanoseconds for which this process ran, and for which it wanted to run and got no CPU. */
function scheduled(): readonly [ran: number, waited: number] {
  try {
    const [ran = 0, waited = 0] = readFileSync('/proc/self/schedstat', 'utf8').split(' ').map(Number);
    return [ran, waited];
  } catch {
    // Only Linux tells.
    return [0, 0];
  }
}

/**
 * The part of its time that this process spent waiting for a CPU, 0 to 1. Beyond three quarters the machine is so busy
 * with other work that processes which answer within a second elsewhere are rightly taken for silent.
 */
export async function starvedDuring(work: () => Promise<void>): Promise<number> {
  const [ranBefore, waitedBefore] = scheduled();
  await work();
  const [ran, waited] = scheduled();
  const all = ran - ranBefore + waited - waitedBefore;
  return all === 0 ? 0 : (waited - waitedBefore) / all;
}
