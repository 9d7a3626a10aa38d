import { keyOf } from '../../src/coordination/words/key.js';
import type { GetOrLockAnswer } from '../../src/coordination/words/outcome.js';
import { Caller } from './caller.js';
import { LIMITS } from './sim-replica.js';
import type { World } from './world.js';

/** The poll interval, its jitter, and the few steps of a takeover. */
const TAKEOVER_MS_MAX = 1_000 + 50 + 100;

/** INV-11: nothing is left at rest. Call it when all calls have ended and all faults are healed. */
export function judgeRest(world: World): void {
  const { judge, nodes, replicas, openCalls } = world;
  if (openCalls > 0) judge.violated('INV-9', `${openCalls} calls were never answered`);
  for (const { name, coordinator, clock } of replicas) {
    if (coordinator.waiters > 0)
      judge.violated('INV-11', `${coordinator.waiters} waiters are left on ${name}`);
    if (clock.pending > 0) judge.violated('INV-11', `${clock.pending} timers are left on ${name}`);
  }
  for (const node of nodes) {
    if (node.held > 0) judge.violated('INV-11', `${node.held} locks are left on ${node.name}`);
  }
}

/** INV-7, INV-12 and INV-14: on a fleet without faults, one caller rebuilds and all get its result. */
export async function judgeOneRebuild(world: World): Promise<void> {
  const { judge } = world;
  const key = keyOf('red', 'one rebuild');
  let leases = 0;
  const answers = await Promise.all(
    Array.from({ length: 10 }, async (_, at) => {
      const caller = new Caller(world, `stampede-${at}`);
      const replica = world.replicas[at % world.replicas.length];
      const answer = await settled(world, () => caller.getOrLock(key, { request: {} }, replica));
      if (answer.outcome.kind !== 'lease') return answer;
      leases += 1;
      await world.sleep(60);
      await caller.publish(caller.inHand(key, answer.outcome), 60_000, 0);
      return answer;
    }),
  );
  if (leases !== 1) judge.violated('INV-12', `${leases} leases for one expiry`);
  const others = answers.filter(({ outcome }) => outcome.kind !== 'lease' && outcome.kind !== 'hit');
  if (others.length > 0) judge.violated('INV-12', `${others.length} callers without the value`);
  for (const replica of world.replicas) {
    const answer = await settled(world, () =>
      new Caller(world, 'after').getOrLock(key, { request: {} }, replica),
    );
    if (answer.outcome.kind !== 'hit')
      judge.violated('INV-7', `${answer.outcome.kind} on ${replica.name} after a publish`);
  }
}

/** A namespace's origin budget: never more rebuilds than places, and every caller is served. */
export async function judgeBudget(world: World): Promise<void> {
  const { judge } = world;
  const { maxRebuilds } = world.policyOf('blue');
  if (maxRebuilds === 0) return;
  let running = 0;
  const kinds = await Promise.all(
    Array.from({ length: 6 }, async (_, at) => {
      const key = keyOf('blue', `budget ${at}`);
      const caller = new Caller(world, `builder-${at}`);
      const answer = await settled(world, () => caller.getOrLock(key, { request: {} }));
      if (answer.outcome.kind !== 'lease') return answer.outcome.kind;
      running += 1;
      if (running > maxRebuilds) judge.violated('INV-12', `${running} rebuilds in ${maxRebuilds} places`);
      await world.sleep(50);
      // As soon as its publish begins, the next rebuild may begin.
      running -= 1;
      await caller.publish(caller.inHand(key, answer.outcome), 60_000, 0);
      return 'lease';
    }),
  );
  const others = kinds.filter((kind) => kind !== 'lease');
  if (others.length > 0) judge.violated('INV-12', `${others} for keys of a budget`);
}

/** INV-10: a dead holder is replaced within its lease, the poll interval and the jitter. */
export async function judgeTakeover(world: World): Promise<void> {
  const { judge, time } = world;
  const key = keyOf('red', 'takeover');
  const leaseMs = 400;
  const dead = await settled(world, () => new Caller(world, 'dead').getOrLock(key, { request: { leaseMs } }));
  if (dead.outcome.kind !== 'lease') return judge.violated('INV-12', `${dead.outcome.kind} for a new key`);
  const begunMs = time.nowMs;
  let replacedMs: number | undefined;
  const kinds = await Promise.all(
    world.replicas.map(async (replica, at) => {
      const caller = new Caller(world, `heir-${at}`);
      const answer = await settled(world, () => caller.getOrLock(key, { request: {} }, replica));
      if (answer.outcome.kind !== 'lease') return answer.outcome.kind;
      replacedMs ??= time.nowMs - begunMs;
      await caller.publish(caller.inHand(key, answer.outcome), 60_000, 0);
      return 'lease';
    }),
  );
  if (replacedMs === undefined || replacedMs > leaseMs + TAKEOVER_MS_MAX) {
    judge.violated('INV-10', `replaced after ${replacedMs} ms of a lease of ${leaseMs}`);
  }
  const heirs = kinds.filter((kind) => kind === 'lease').length;
  if (heirs !== 1) judge.violated('INV-12', `${heirs} heirs of one holder`);
}

/** On a healed fleet every call has an answer, and none is degraded. */
async function settled(world: World, ask: () => Promise<GetOrLockAnswer | Error>): Promise<GetOrLockAnswer> {
  const answer = await ask();
  if (answer instanceof Error) throw answer;
  if (answer.degraded !== 'none') {
    const states = world.replicas.map(({ name, states }) => `${name}: ${states}`);
    world.judge.violated('INV-10', `${answer.degraded} on a healed fleet (${states.join('; ')})`);
  }
  return answer;
}

/** Long enough for every lock to end, every quarantine, and every connection to come back. */
export const RECOVERY_MS = LIMITS.leaseMsMax * 2 + 1_500;
