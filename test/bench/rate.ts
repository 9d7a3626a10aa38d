import { readFileSync } from 'node:fs';
import type { Rate } from './bench.js';

const ROUNDS = 5;
const ROUND_MS = 1_500;
const WARM_UP_MS = 700;

/** One way to do something. */
export interface Way {
  readonly name: string;
  /** The process that answers; 0 if there is none. */
  readonly serverPid: number;
  /** Does it again and again for `ms`, with so many at a time. */
  run(inFlight: number, ms: number): Promise<Work>;
}

/** What was done in one round, and what it cost the caller. */
export interface Work {
  readonly done: number;
  readonly tookMs: number;
  readonly cpuUs: number;
}

/** The rate and the CPU time of each way, with `inFlight` under way, all in turns in one run. */
export async function rates(
  ways: readonly Way[],
  inFlight: number,
  warmUpMs = WARM_UP_MS,
): Promise<(name: string) => Rate> {
  const all = new Map<string, Rate[]>(ways.map(({ name }) => [name, []]));
  for (const way of ways) await way.run(inFlight, warmUpMs);
  // In turns, so that other load on the machine affects all of them.
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const way of ways) all.get(way.name)?.push(await measure(way, inFlight));
  }
  return (name) => medianOf(name, all.get(name) ?? []);
}

async function measure({ name, serverPid, run }: Way, inFlight: number): Promise<Rate> {
  const before = cpuUsOf(serverPid);
  const { done, tookMs, cpuUs } = await run(inFlight, ROUND_MS);
  return {
    name,
    perSecond: (1_000 * done) / tookMs,
    clientUs: cpuUs / done,
    serverUs: (cpuUsOf(serverPid) - before) / done,
  };
}

/** `once` resolves when it is done; `at` counts up over all rounds. */
export function repeating(once: (at: number) => Promise<unknown>): Way['run'] {
  let at = 0;
  return async (inFlight, ms) => {
    let done = 0;
    const startMs = performance.now();
    const untilMs = startMs + ms;
    const before = process.cpuUsage();
    const one = async () => {
      while (performance.now() < untilMs) {
        at += 1;
        await once(at);
        done += 1;
      }
    };
    await Promise.all(Array.from({ length: inFlight }, one));
    const { user, system } = process.cpuUsage(before);
    return { done, tookMs: performance.now() - startMs, cpuUs: user + system };
  };
}

/** The CPU time of a process, in microseconds. The kernel counts in hundredths of a second. */
export function cpuUsOf(pid: number): number {
  if (pid === 0) return 0;
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** The median of each figure, with the spread of the rates. */
export function medianOf(name: string, of: readonly Rate[]): Rate {
  const middle = (pick: (rate: Rate) => number) =>
    of.map(pick).sort((a, b) => a - b)[Math.floor(of.length / 2)] ?? 0;
  const perSecond = of.map((rate) => rate.perSecond);
  return {
    name,
    perSecond: middle((rate) => rate.perSecond),
    spread: [Math.min(...perSecond), Math.max(...perSecond)],
    clientUs: middle(({ clientUs }) => clientUs),
    serverUs: middle(({ serverUs }) => serverUs),
  };
}
