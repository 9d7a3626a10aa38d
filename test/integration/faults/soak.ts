import { setTimeout as sleep } from 'node:timers/promises';
import { SeededRandom } from '../../support/seeded-random.js';
import { waitersOf } from '../../support/waiters.js';
import { ClientProcesses } from './client-processes.js';
import { FAULT_KINDS } from './fault-kinds.js';
import { FaultyFleet, LEASE_MS_MAX } from './faulty-fleet.js';
import type { Window } from './history.js';
import { judge, type Verdict } from './lease-history.js';

export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Processes of clients. */
  readonly processes: number;
  /** Of the kinds of faults only those with this in their names. */
  readonly only?: string;
  say(line: string): void;
  /** After each fault. */
  faultDone?(): void;
}

export interface SoakResult extends Verdict {
  readonly seed: number;
  readonly faults: Readonly<Record<string, number>>;
}

/** A fault is over for those who felt it a little later: connections come back, pings are answered. */
const AFTERMATH_MS = 3_000;

/** How often this process looks whether it gets any CPU, and how late it may be: once, and in all of a second's looks. */
const LOOK_MS = 50;
const LAG_MS_MAX = 200;
const LOOKS_PER_SECOND = 20;

const now = () => Number(process.hrtime.bigint()) / 1e6;

/** Lets clients live on a fleet to which one thing after the other happens, then heals it, and judges. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { seconds, seed, processes, say } = options;
  const random = new SeededRandom(seed);
  const fleet = await FaultyFleet.start();
  const clients = new ClientProcesses(fleet.targets, seed, processes);
  const kinds = FAULT_KINDS.filter(({ name }) => name.includes(options.only ?? ''));
  const faults: Record<string, number> = {};
  const windows: Window[] = [];
  const watch = watchMachine(windows);
  try {
    await sleep(1_000);
    const untilMs = now() + seconds * 1_000;
    // Two at a time now and then: the next begins while the last one goes on.
    const misfortunes = async () => {
      while (now() < untilMs) {
        const kind = random.pick(kinds);
        const from = now();
        await kind.inflict(
          { fleet, clients, random, excuse: (window) => windows.push(window) },
          random.pick([50, 200, 600]) * (0.5 + random.fraction()),
        );
        faults[kind.name] = (faults[kind.name] ?? 0) + 1;
        options.faultDone?.();
        if (kind.excuses !== undefined) windows.push({ kind: kind.excuses, from, to: now() + AFTERMATH_MS });
        await sleep(random.pick([0, 50, 200]));
      }
    };
    await misfortunes();
    await fleet.heal();
    say('healed; letting everything come to rest');
    await clients.stop();
    const violations = [...(await rest(fleet))];
    const verdict = judge(clients.history(), windows);
    return { ...verdict, violations: [...verdict.violations, ...violations], faults, seed };
  } finally {
    clearInterval(watch);
    clients.remove();
    await fleet.stop();
  }
}

/** Where this process gets no CPU, the others get none either: a machine that is busy with other work makes answers late. */
function watchMachine(windows: Window[]): NodeJS.Timeout {
  let lookedMs = now();
  const lags: number[] = [];
  return setInterval(() => {
    const from = lookedMs;
    lookedMs = now();
    const lagMs = Math.max(0, lookedMs - from - LOOK_MS);
    if (lagMs > LAG_MS_MAX) windows.push({ kind: 'stopped', from, to: lookedMs + AFTERMATH_MS });
    lags.push(lagMs);
    if (lags.length > LOOKS_PER_SECOND) lags.shift();
    // An answer is the work of several processes, one after the other, and each is as late as this one.
    const lagOfSecondMs = lags.reduce((sum, ms) => sum + ms, 0);
    if (lagOfSecondMs > LAG_MS_MAX) windows.push({ kind: 'starved', from: lookedMs - 1_000, to: lookedMs });
  }, LOOK_MS);
}

/** INV-11: no waiter is left, and within the longest lease no lock. */
async function rest(fleet: FaultyFleet): Promise<string[]> {
  const violations: string[] = [];
  await sleep(LEASE_MS_MAX + 500);
  for (const { httpUrl } of fleet.replicas) {
    const waiters = await waitersOf(httpUrl);
    if (waiters > 0) violations.push(`INV-11 ${waiters} waiters are left on ${httpUrl}`);
  }
  for (const node of fleet.nodes) {
    const keys = await node.keys('dibs:lock:*');
    if (keys.length > 0) violations.push(`INV-11 ${keys.length} locks are left on port ${node.port}`);
  }
  return violations;
}
