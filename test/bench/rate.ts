import { readFileSync } from 'node:fs';
import type { Rate } from './bench.js';

const ROUNDS = 3;
const ROUND_MS = 1_500;
const WARM_UP_MS = 700;

/** One way to do something. `once` resolves when it is done. `at` counts up. */
export interface Way {
  readonly name: string;
  /** The process that answers. */
  readonly serverPid: number;
  once(at: number): Promise<unknown>;
}

/** The rate and the CPU time of each way, with `inFlight` under way, all in turns in one run. */
export async function rates(ways: readonly Way[], inFlight: number): Promise<(name: string) => Rate> {
  const all = new Map<string, Rate[]>(ways.map(({ name }) => [name, []]));
  const counters = new Map(ways.map(({ name }) => [name, { at: 0 }]));
  const run = (way: Way, ms: number) => during(way, inFlight, ms, counters.get(way.name) ?? { at: 0 });
  for (const way of ways) await run(way, WARM_UP_MS);
  // In turns, so that other load on the machine affects all of them.
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const way of ways) all.get(way.name)?.push(await run(way, ROUND_MS));
  }
  return (name) => medianOf(name, all.get(name) ?? []);
}

/** Keeps `inFlight` under way for `ms`. */
async function during(way: Way, inFlight: number, ms: number, counter: { at: number }): Promise<Rate> {
  const { name, serverPid } = way;
  let done = 0;
  const startMs = performance.now();
  const untilMs = startMs + ms;
  const [ownBefore, theirsBefore] = [process.cpuUsage(), cpuUsOf(serverPid)];
  const one = async () => {
    while (performance.now() < untilMs) {
      counter.at += 1;
      await way.once(counter.at);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  const own = process.cpuUsage(ownBefore);
  const seconds = (performance.now() - startMs) / 1_000;
  return {
    name,
    perSecond: done / seconds,
    clientUs: (own.user + own.system) / done,
    serverUs: serverPid === 0 ? 0 : (cpuUsOf(serverPid) - theirsBefore) / done,
  };
}

/** The CPU time of a process, in microseconds. The kernel counts in hundredths of a second. */
export function cpuUsOf(pid: number): number {
  if (pid === 0) return 0;
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** The median of each figure. */
export function medianOf(name: string, of: readonly Rate[]): Rate {
  const middle = (pick: (rate: Rate) => number) =>
    of.map(pick).sort((a, b) => a - b)[Math.floor(of.length / 2)] ?? 0;
  return {
    name,
    perSecond: middle(({ perSecond }) => perSecond),
    clientUs: middle(({ clientUs }) => clientUs),
    serverUs: middle(({ serverUs }) => serverUs),
  };
}
