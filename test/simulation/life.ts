import type { Key } from '../../src/coordination/words/key.js';
import { type Asking, Caller, type InHand } from './caller.js';
import { LIMITS } from './sim-replica.js';
import { NoAnswer, type World } from './world.js';

/** The number of operations left, shared by all clients, so that a seed has as many as it should. */
export interface Work {
  left: number;
}

/** One client that asks, rebuilds, invalidates, pauses, dies and returns, until no work is left. */
export async function liveOn(world: World, name: string, work: Work): Promise<void> {
  const caller = new Caller(world, name);
  const { chance } = world;
  let requests = 0;
  while (work.left > 0) {
    work.left -= 1;
    await world.sleep(chance.pick([0, 1, 5, 20, 100, 300]) * chance.fraction());
    const key = chance.pick(world.keys);
    if (chance.hits(0.12)) {
      if (chance.hits(0.25)) {
        const tags = chance.pick([['x'], ['y'], ['x', 'y'], []]);
        await caller.invalidateTags(key.namespace, tags, chance.pick(['delete', 'mark_stale']));
        continue;
      }
      const other = world.keys.filter(({ namespace }) => namespace === key.namespace);
      const keys = chance.hits(0.8) ? [key] : other;
      await caller.invalidate(keys, chance.pick(['delete', 'mark_stale']));
      continue;
    }
    requests += 1;
    await oneRequest(world, caller, key, askingOf(world, `${name}-${requests}`));
  }
}

const INTENTS = ['rebuild', 'rebuild', 'rebuild', 'rebuild', 'rebuild', 'read', 'refresh'] as const;

function askingOf({ chance }: World, requestId: string): Asking {
  const waitMs = chance.pick([0, 50, 300, 1_500, LIMITS.waitMsMax, undefined, undefined]);
  const deadlineMs = chance.hits(0.1) ? chance.pick([20, 200, 1_000]) : undefined;
  const cancelAfterMs = chance.hits(0.12) ? chance.fraction() * chance.pick([5, 50, 500]) : undefined;
  const leaseMs = chance.pick([undefined, undefined, 100, 300, 1_000, LIMITS.leaseMsMax]);
  return {
    request: {
      intent: chance.pick(INTENTS),
      waitMs,
      leaseMs,
      stale: chance.hits(0.3) ? 'forbid' : undefined,
      read: chance.hits(0.3) ? 'store' : undefined,
      requestId: chance.hits(0.8) ? requestId : '',
    },
    deadlineMs,
    cancelAfterMs,
  };
}

/** Sends a request, and retries it if no answer came: the same call, usually to another replica. */
async function oneRequest(world: World, caller: Caller, key: Key, asking: Asking): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const answer = await caller.getOrLock(key, asking);
    if (answer instanceof NoAnswer) continue;
    if (answer instanceof Error || answer.outcome.kind !== 'lease') return;
    if (asking.cancelAfterMs !== undefined && world.chance.hits(0.5)) return;
    await holdOn(world, caller, caller.inHand(key, answer.outcome));
    return;
  }
}

/** Uses a lease, usually as a holder should. */
async function holdOn(world: World, caller: Caller, hand: InHand): Promise<void> {
  const { chance } = world;
  // It dies and does not give the lease back.
  if (chance.hits(0.08)) return;
  const rebuildMs = chance.pick([2, 10, 30, 80, 200, 600]) * (0.5 + chance.fraction());
  if (chance.hits(0.6)) await rebuildAndExtend(world, caller, hand, rebuildMs);
  else await world.sleep(rebuildMs);
  // A pause at the worst moment: the rebuild is done, and the lease may end before the publish.
  if (chance.hits(0.1)) await world.sleep(chance.between(100, 3_000));
  const end = chance.fraction();
  if (end < 0.1) return caller.release(hand, undefined);
  if (end < 0.2) {
    const retryAfterMs = chance.pick([undefined, 0, 50]);
    return caller.release(hand, {
      message: 'no source',
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }
  const ttlMs = chance.pick([20, 100, 400, 1_500]);
  const staleMs = chance.pick([0, 0, 300, 1_500]);
  const outcome = await caller.publish(hand, ttlMs, staleMs);
  if (outcome === 'no answer' || chance.hits(0.05)) await caller.publish(hand, ttlMs, staleMs);
}

async function rebuildAndExtend(
  world: World,
  caller: Caller,
  hand: InHand,
  rebuildMs: number,
): Promise<void> {
  const untilMs = world.time.nowMs + rebuildMs;
  for (;;) {
    const leftMs = untilMs - world.time.nowMs;
    const thirdMs = Math.max(5, hand.expiresInMs / 3);
    await world.sleep(Math.min(leftMs, thirdMs));
    if (leftMs <= thirdMs) return;
    // A holder that lost its lease usually stops. Sometimes it goes on.
    if ((await caller.extend(hand)) === 'lost' && world.chance.hits(0.7)) return;
  }
}
