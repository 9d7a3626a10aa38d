import { Call } from '../../src/coordination/words/call.js';
import { keyOf } from '../../src/coordination/words/key.js';
import { Caller, type InHand } from './caller.js';
import {
  EVERYTHING,
  LONG_MS,
  type Misfortunes,
  type Scenario,
  type SmallWorld,
  TAGS,
} from './small-world.js';

// Each is small enough for thousands of orders. None gives a hint which order matters.

/** More than are answered in one turn of the event loop. */
const CROWD = 260;

const WAITS = { waitMs: 1_500, stale: 'allow' } as const;

type How = 'key' | 'mark stale' | 'tag' | 'all';

async function invalidate(world: SmallWorld, how: How, at: number): Promise<void> {
  const caller = new Caller(world, 'changer');
  const { key } = world;
  const replica = world.replica(at);
  if (how === 'tag') await caller.invalidateTags(key.namespace, TAGS, 'delete', replica);
  else if (how === 'all') await caller.invalidateTags(key.namespace, [], 'delete', replica);
  else await caller.invalidate([key], how === 'key' ? 'delete' : 'mark_stale', replica);
}

/** Makes a change. When it is acknowledged, a new caller comes to the first replica. */
async function changeAndNewcomer(world: SmallWorld, how: How, at = 1): Promise<void> {
  await invalidate(world, how, at);
  await world.ask('newcomer', 0, WAITS);
}

/** Gives the key a value, in every replica's near cache. */
async function valueEverywhere(world: SmallWorld): Promise<void> {
  await world.ask('before', 0, WAITS);
  for (const at of world.replicas.keys()) await world.ask('before', at, WAITS);
}

async function leaseOf(world: SmallWorld, holder: Caller): Promise<InHand> {
  const answer = await holder.getOrLock(world.key, { request: WAITS }, world.replica(0));
  if (answer instanceof Error || answer.outcome.kind !== 'lease') throw new Error('no lease for a new key');
  return holder.inHand(world.key, answer.outcome);
}

/** Returns a lease that was granted while the store hangs, so the store never knows of it. */
async function unstoredLease(world: SmallWorld, holder: Caller): Promise<InHand> {
  world.store.stop();
  const hand = await leaseOf(world, holder);
  world.store.goOn();
  await world.sleep(50);
  return hand;
}

/** Two callers request a new key at two replicas. */
function twoCallers(nodes: number, misfortunes?: Misfortunes, with_ = ''): Scenario {
  return {
    name: `two callers for a new key, ${nodes} lock nodes${with_}`,
    nodes,
    ...(misfortunes === undefined ? {} : { misfortunes }),
    begin: async (world) => () => Promise.all([world.ask('one', 0, WAITS), world.ask('other', 1, WAITS)]),
  };
}

/** A change comes between a publish and a caller that comes after the change. */
function publishAgainst(how: How, misfortunes?: Misfortunes, with_ = ''): Scenario {
  return {
    name: `a publish, and a change (${how})${with_}`,
    ...(misfortunes === undefined ? {} : { misfortunes }),
    begin: async (world) => {
      const holder = new Caller(world, 'holder');
      const hand = await leaseOf(world, holder);
      return () =>
        Promise.all([
          world.ask('waiter', 0, WAITS),
          holder.publish(hand, LONG_MS, LONG_MS, world.replica(0), TAGS),
          changeAndNewcomer(world, how),
        ]);
    },
  };
}

/** A value in a replica's near cache, and a change at that replica or at another one. */
function nearAgainst(how: How, at: number, misfortunes?: Misfortunes, with_ = ''): Scenario {
  return {
    name: `a value in memory, and ${at === 0 ? 'its own' : 'a'} change (${how})${with_}`,
    nearCacheBytes: 1_000_000,
    ...(misfortunes === undefined ? {} : { misfortunes }),
    begin: async (world) => {
      await valueEverywhere(world);
      return () => Promise.all([changeAndNewcomer(world, how, at), world.ask('reader', 0, WAITS)]);
    },
  };
}

/** One caller whose read is under way, then more callers than are answered in one turn. */
function crowdAgainst(how: How): Scenario {
  return {
    name: `a crowd, and a change (${how})`,
    begin: async (world) => {
      await valueEverywhere(world);
      const { coordinator } = world.replica(0);
      const request = { key: world.key, intent: 'rebuild', requestId: '', holder: '', ...WAITS } as const;
      const crowd = () =>
        Promise.all(Array.from({ length: CROWD }, () => coordinator.getOrLock(request, new Call())));
      return () =>
        Promise.all([
          world.ask('first', 0, WAITS),
          world.call(world.replica(0), new Call('crowd'), crowd),
          changeAndNewcomer(world, how),
        ]);
    },
  };
}

/** The reader is drawn to refresh early, but a leftover lock prevents it. */
function earlyAgainst(how: How): Scenario {
  return {
    name: `an early refresh, and a change (${how})`,
    policy: { earlyRefreshBeta: 1_000_000 },
    begin: async (world) => {
      const holder = new Caller(world, 'holder');
      const hand = await leaseOf(world, holder);
      await world.sleep(50);
      await holder.publish(hand, LONG_MS, LONG_MS, world.replica(0), TAGS);
      await world.sleep(50);
      const untilMs = world.time.nowMs + 1_000;
      for (const node of world.nodes) node.locks.set(world.key.id, { nonce: 'left behind', untilMs });
      return () => Promise.all([world.ask('reader', 0, WAITS), changeAndNewcomer(world, how)]);
    },
  };
}

/** While the store hangs, a lease is granted that the store never knows of. */
function unstoredAgainst(how: How): Scenario {
  return {
    name: `a lease without the store, and a change (${how})`,
    begin: async (world) => {
      const holder = new Caller(world, 'holder');
      const hand = await unstoredLease(world, holder);
      return () =>
        Promise.all([
          holder.publish(hand, LONG_MS, LONG_MS, world.replica(0), TAGS),
          changeAndNewcomer(world, how),
        ]);
    },
  };
}

/** A stale value, which the next lease carries along, and a change. */
function previousAgainst(how: How): Scenario {
  return {
    name: `a stale value that is shown with a lease, and a change (${how})`,
    begin: async (world) => {
      await valueEverywhere(world);
      await invalidate(world, 'mark stale', 0);
      return () => Promise.all([world.ask('reader', 0, WAITS), changeAndNewcomer(world, how)]);
    },
  };
}

/** A holder without the store reports a failure, and a change. */
function failureAgainst(how: How): Scenario {
  return {
    name: `a failure without the store, and a change (${how})`,
    begin: async (world) => {
      const holder = new Caller(world, 'holder');
      const hand = await unstoredLease(world, holder);
      return () =>
        Promise.all([
          holder.release(hand, { message: 'no source', retryAfterMs: 50 }, world.replica(0)),
          changeAndNewcomer(world, how),
        ]);
    },
  };
}

/** The store loses the record of a running lease, and most lock nodes forget it. Only their wait protects it. */
function amnesia(how: 'flushed' | 'restarted'): Scenario {
  return {
    name: `lock nodes that are ${how}, and a record that is lost`,
    nodes: 3,
    begin: async (world) => {
      await leaseOf(world, new Caller(world, 'holder'));
      await world.sleep(50);
      const forget = () => {
        world.store.lose(world.key.id);
        world.judge.recordLost(world.key.id);
        for (const node of world.nodes.slice(0, 2)) {
          if (how === 'flushed') node.forget();
          else {
            node.crash();
            node.restart();
          }
        }
      };
      return () => {
        world.time.at(world.time.nowMs, forget, `${EVERYTHING}amnesia`);
        // The restarted nodes are connected by then. The wait is shorter than the lease.
        const other = async () => {
          if (how === 'restarted') await world.sleep(100);
          return world.ask('other', 1, { ...WAITS, waitMs: 300 });
        };
        return other();
      };
    },
  };
}

/** A value in the near cache, and a store that hangs. A call for another key shows that it is lost. */
const nearWithoutStore: Scenario = {
  name: 'a value in memory, and a store that is lost',
  nearCacheBytes: 1_000_000,
  begin: async (world) => {
    await valueEverywhere(world);
    const other = keyOf('red', 'b');
    world.store.stop();
    return async () => {
      await new Caller(world, 'other').getOrLock(
        other,
        { request: { ...WAITS, waitMs: 0 } },
        world.replica(0),
      );
      await world.ask('reader', 0, WAITS);
      world.store.goOn();
    };
  },
};

/** A waiter gets its value from a lease that the store never knows of. */
const unstoredAndWaiter: Scenario = {
  name: 'a lease without the store, and its waiter',
  begin: async (world) => {
    const holder = new Caller(world, 'holder');
    world.store.stop();
    const hand = await leaseOf(world, holder);
    return () =>
      Promise.all([
        world.ask('waiter', 0, WAITS),
        holder.publish(hand, LONG_MS, LONG_MS, world.replica(0), TAGS),
      ]);
  },
};

const LOST_OR_LATE: Misfortunes = { lossy: ['r0-store<', 'r0-store>'], earlyTimers: true };
const PAUSED: Misfortunes = { pauses: ['r0'], pauseMs: 2_000 };

export const SCENARIOS: readonly Scenario[] = [
  amnesia('flushed'),
  amnesia('restarted'),
  twoCallers(3),
  twoCallers(1, LOST_OR_LATE, ', a message late or lost'),
  twoCallers(1, { crashes: ['r0'] }, ', a replica that dies'),
  publishAgainst('key'),
  publishAgainst('mark stale'),
  publishAgainst('tag'),
  publishAgainst('all'),
  publishAgainst('key', LOST_OR_LATE, ', a message late or lost'),
  nearAgainst('key', 0),
  nearAgainst('tag', 0),
  nearAgainst('key', 1),
  nearAgainst('tag', 1),
  nearAgainst('key', 1, PAUSED, ', a replica that stands still'),
  nearAgainst('key', 1, { breaks: ['r0'] }, ', no wakes for a while'),
  nearWithoutStore,
  previousAgainst('key'),
  failureAgainst('key'),
  unstoredAndWaiter,
  unstoredAgainst('key'),
  unstoredAgainst('tag'),
  unstoredAgainst('all'),
  crowdAgainst('key'),
  crowdAgainst('tag'),
  earlyAgainst('key'),
  earlyAgainst('tag'),
];
