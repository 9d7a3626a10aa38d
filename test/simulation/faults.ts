import type { SimChance } from './sim-chance.js';
import type { LockSnapshot } from './sim-lock-node.js';
import { STORE_CALL_MS_MAX } from './sim-store.js';
import type { World } from './world.js';

/** Begins a fault in a world. Returns the function that ends it. */
type Fault = (world: World) => (() => void) | undefined;

/** A clock that jumps breaks promises, so only a minority of the smallest group's nodes may have one. */
function mayJump({ nodes, fleet: { groups } }: World): boolean {
  const jumped = nodes.filter(({ clockJumped }) => clockJumped).length;
  const sizes =
    groups === undefined ? [nodes.length] : [...groups.before, ...groups.after].map((it) => it.length);
  return jumped < (Math.min(...sizes) - 1) / 2;
}

const snapshots = new WeakMap<World, Map<string, LockSnapshot>>();

export const FAULTS: Readonly<Record<string, Fault>> = {
  'node crashes, comes back empty': (world) => {
    const node = world.chance.pick(world.nodes);
    node.crash();
    return () => {
      if (!node.up) node.restart();
    };
  },
  'node comes back from an old snapshot': (world) => {
    const node = world.chance.pick(world.nodes);
    const taken = snapshots.get(world) ?? new Map<string, LockSnapshot>();
    snapshots.set(world, taken);
    const old = taken.get(node.name) ?? node.snapshot();
    taken.set(node.name, node.snapshot());
    node.crash();
    return () => {
      if (!node.up) node.restart(old);
    };
  },
  'node is flushed': (world) => {
    world.chance.pick(world.nodes).forget();
    return () => {};
  },
  'node forgets its scripts': (world) => {
    world.chance.pick(world.nodes).forgetScripts();
    return () => {};
  },
  'node hangs': (world) => {
    const node = world.chance.pick(world.nodes);
    node.stop();
    return () => node.goOn();
  },
  'node answers with errors': (world) => {
    const node = world.chance.pick(world.nodes);
    node.failWith(world.chance.pick(['READONLY', 'OOM', 'LOADING']));
    return () => node.failWith(undefined);
  },
  'node may evict': (world) => {
    const node = world.chance.pick(world.nodes);
    node.evicts = true;
    node.forget();
    return () => {
      node.evicts = false;
    };
  },
  "node's clock jumps": (world) => {
    if (!mayJump(world)) return undefined;
    world.judge.quorumIsWeak = true;
    world.chance.pick(world.nodes).jump(world.chance.between(-1_500, 1_500));
    return () => {};
  },
  'majority of nodes is down': (world) => {
    const down = world.nodes.slice(0, (world.nodes.length + 1) / 2);
    for (const node of down) node.stop();
    return () => {
      for (const node of down) node.goOn();
    };
  },
  'requests to nodes are lost': linkFault((link, world) => {
    link.requestLoss = world.chance.pick([0.2, 0.6]);
  }, 'nodes'),
  'replies of nodes are lost': linkFault((link, world) => {
    link.replyLoss = world.chance.pick([0.2, 0.6]);
  }, 'nodes'),
  'nodes are slow': linkFault((link, world) => {
    link.slowMs = world.chance.pick([20, 150]);
  }, 'nodes'),
  'replica is cut off from nodes': linkFault((link) => {
    link.cut = true;
  }, 'nodes'),
  'replica is cut off from the store': linkFault((link) => {
    link.cut = true;
  }, 'store'),
  'requests to the store are lost': linkFault((link, world) => {
    link.requestLoss = world.chance.pick([0.1, 0.5]);
  }, 'store'),
  'replies of the store are lost': linkFault((link, world) => {
    link.replyLoss = world.chance.pick([0.1, 0.5]);
  }, 'store'),
  'store is slow': linkFault((link, world) => {
    link.slowMs = world.chance.pick([50, 500]);
    // A late reply shows the state at the time when it was read.
    world.judge.storeSlowMs = Math.max(world.judge.storeSlowMs, 2 * link.slowMs);
  }, 'store'),
  'store crashes, comes back': (world) => {
    world.store.crash();
    return () => {
      if (!world.store.up) world.store.restart(false);
    };
  },
  'store hangs': (world) => {
    world.store.stop();
    // A read that waits in a stopped store is also late.
    world.judge.storeSlowMs = Math.max(world.judge.storeSlowMs, STORE_CALL_MS_MAX);
    return () => world.store.goOn();
  },
  "store's clock jumps forwards": (world) => {
    world.store.jump(world.chance.between(1, 3_000));
    world.judge.storeJumped = { at: world.judge.now(), ms: world.time.nowMs };
    return () => {};
  },
  'wakes are lost': linkFault((link) => {
    link.replyLoss = 1;
  }, 'wakes'),
  'wake channel is down': (world) => {
    for (const replica of world.replicas) replica.wakes.goDown();
    return () => {
      for (const replica of world.replicas) replica.wakes.comeBack();
    };
  },
  'replica pauses': (world) => {
    const replica = world.chance.pick(world.replicas);
    replica.pause();
    return () => replica.resume();
  },
  'replica is killed': (world) => {
    const at = world.chance.below(world.replicas.length);
    world.killReplica(at);
    return () => world.restartReplica(at);
  },
  'replica is drained': (world) => {
    const at = world.chance.below(world.replicas.length);
    const replica = world.replicas[at];
    replica?.run(() => replica.drain());
    return () => world.restartReplica(at);
  },
};

/** Nothing is lost or gone. Each direction is slow, and both together take less than S. */
const LATE_MS = [100, 300, 700];

export const LATENESS: Readonly<Record<string, Fault>> = {
  'store is late': linkFault((link, world) => {
    link.slowMs = world.chance.pick(LATE_MS);
    world.judge.storeSlowMs = Math.max(world.judge.storeSlowMs, 2 * link.slowMs);
  }, 'store'),
  'nodes are late': linkFault((link, world) => {
    link.slowMs = world.chance.pick(LATE_MS);
  }, 'nodes'),
  'wakes are late': linkFault((link, world) => {
    link.slowMs = world.chance.pick(LATE_MS);
  }, 'wakes'),
};

/** For worlds with several groups of lock nodes. */
export const GROUP_FAULTS: Readonly<Record<string, Fault>> = {
  ...FAULTS,
  'a group is down': (world) => {
    const group = world.chance.pick(world.fleet.groups?.after ?? []);
    const down = group.slice(0, (group.length + 1) / 2).map((at) => world.nodes[at]);
    for (const node of down) node?.stop();
    return () => {
      for (const node of down) node?.goOn();
    };
  },
};

/** Only for worlds in which the store's acknowledgements are not judged. */
export const STORE_LOSS = 'store comes back empty';

export const LOSSES: Readonly<Record<string, Fault>> = {
  [STORE_LOSS]: (world) => {
    world.store.crash();
    return () => {
      if (world.store.up) return;
      // The design assumes that its clock reads later than at any earlier lease.
      world.store.jump(1);
      world.store.restart(true);
      world.judge.storeLost();
    };
  },
};

type Link = World['replicas'][number]['storeLink'];

/** Affects one replica in most cases, otherwise all of them. */
function linkFault(spoil: (link: Link, world: World) => void, which: 'nodes' | 'store' | 'wakes'): Fault {
  return (world) => {
    const { chance } = world;
    const replicas = chance.hits(0.7) ? [chance.pick(world.replicas)] : world.replicas;
    const links = replicas.flatMap(({ nodeLinks, storeLink, wakeLink }) => {
      if (which === 'store') return [storeLink];
      return which === 'wakes' ? [wakeLink] : nodeLinks.filter(() => chance.hits(0.6));
    });
    for (const link of links) spoil(link, world);
    return () => {
      for (const link of links) link.heal();
    };
  };
}

/** Begins and ends `count` faults, one or several at a time. */
export async function misfortunes(
  world: World,
  count: number,
  losses: boolean,
  faults = FAULTS,
): Promise<void> {
  const { chance } = world;
  const kinds = Object.entries(losses ? { ...faults, ...LOSSES } : faults);
  const running: Promise<void>[] = [];
  for (let begun = 0; begun < count; ) {
    const [kind, fault] =
      losses && begun === 0 ? (Object.entries(LOSSES)[0] as [string, Fault]) : chance.pick(kinds);
    const end = fault(world);
    if (end === undefined) continue;
    begun += 1;
    world.say(() => `FAULT ${kind}`, kind);
    world.faults.set(kind, (world.faults.get(kind) ?? 0) + 1);
    running.push(
      world.sleep(chance.pick([20, 200, 800, 2_500]) * (0.5 + chance.fraction())).then(() => {
        end();
        world.say(() => `HEALED ${kind}`, kind);
        world.healed(kind);
      }),
    );
    await world.sleep(chance.pick([0, 50, 300, 1_000]) * chance.fraction());
  }
  await Promise.all(running);
}

const AMNESIAS_MAX = 4;

/**
 * Lock nodes forget, up to all of them, while the store loses the record of a key whose lease runs. As long as the
 * record exists, it excludes a second lease, and a node that votes although it may have forgotten does no harm. Uses
 * its own random numbers, so that other seeds do not change.
 */
export async function amnesias(world: World, chance: SimChance): Promise<void> {
  const sleep = (ms: number) => world.sleep(ms * (0.5 + chance.fraction()));
  for (let left = 1 + chance.below(AMNESIAS_MAX); left > 0; left -= 1) {
    await sleep(chance.pick([200, 1_000, 3_000]));
    const held = world.keys.filter(
      ({ id }) => (world.store.record(id)?.lease?.untilMs ?? 0) > world.store.nowMs,
    );
    if (held.length === 0 || !world.store.up) continue;
    const { id } = chance.pick(held);
    world.say(() => `FAULT nodes forget, and the store loses ${id}`, 'amnesia');
    world.store.lose(id);
    world.judge.recordLost(id);
    for (const node of world.nodes) {
      if (!node.up || chance.hits(0.3)) continue;
      if (chance.hits(0.5)) node.forget();
      else {
        node.crash();
        node.restart();
      }
    }
  }
}

/** Ends every fault. */
export function healAll(world: World): void {
  for (const node of world.nodes) node.heal();
  world.store.heal();
  for (const [at, replica] of world.replicas.entries()) {
    if (replica.dead) world.restartReplica(at);
    replica.resume();
    for (const link of replica.links) link.heal();
    replica.wakes.comeBack();
  }
}
