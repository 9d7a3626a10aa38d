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
  /** Only the kinds of faults whose names contain this. */
  readonly only?: string;
  say(line: string): void;
  /** Called after each fault. */
  faultDone?(): void;
}

export interface SoakResult extends Verdict {
  readonly seed: number;
  readonly faults: Readonly<Record<string, number>>;
}

/** The effects of a fault last a little longer: connections must reopen and pings be answered. */
const AFTERMATH_MS = 3_000;

/** How often this process checks that it gets CPU, and how late a check, or all checks of a second, may be. */
const CHECK_MS = 50;
const LAG_MS_MAX = 200;
const CHECKS_PER_SECOND = 20;

const now = () => Number(process.hrtime.bigint()) / 1e6;

/** Runs clients on a fleet with one fault after another, then repairs it, and judges the history. */
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
    // The effects of a fault may last into the next one.
    const inflictFaults = async () => {
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
    await inflictFaults();
    await fleet.heal();
    say('repaired; waiting until everything is at rest');
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

/** If this process gets no CPU, the others get none either, and a machine busy with other work makes answers late. */
function watchMachine(windows: Window[]): NodeJS.Timeout {
  let checkedMs = now();
  const lags: number[] = [];
  return setInterval(() => {
    const from = checkedMs;
    checkedMs = now();
    const lagMs = Math.max(0, checkedMs - from - CHECK_MS);
    if (lagMs > LAG_MS_MAX) windows.push({ kind: 'stopped', from, to: checkedMs + AFTERMATH_MS });
    lags.push(lagMs);
    if (lags.length > CHECKS_PER_SECOND) lags.shift();
    // An answer needs several processes, one after another, and each is as late as this one.
    const lagOfSecondMs = lags.reduce((sum, ms) => sum + ms, 0);
    if (lagOfSecondMs > LAG_MS_MAX) windows.push({ kind: 'starved', from: checkedMs - 1_000, to: checkedMs });
  }, CHECK_MS);
}

/** INV-11: no waiter is left, and no lock after the longest lease. */
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
