import type { SimChance } from './sim-chance.js';
import { LIMITS } from './sim-replica.js';
import type { Fleet, Groups, World } from './world.js';

/** The lock nodes of three groups. The last group is larger. */
const [A, B, C] = [
  [0, 1, 2],
  [3, 4, 5],
  [6, 7, 8, 9, 10],
] as const;

/** The groups before a rollout and after it. */
const CHANGES: readonly (readonly [Groups, Groups])[] = [
  // One more, one fewer, a different one.
  [[A], [A, B]],
  [
    [A, B],
    [A, B, C],
  ],
  [[A, B], [B]],
  [[A], [C]],
  // The same groups in another order.
  [
    [A, B],
    [B, A],
  ],
];

/** Draws the groups of a world with `--about groups`. */
export function groupsOf(chance: SimChance): Pick<Fleet, 'nodes' | 'groups'> {
  const [before, after] = chance.pick(CHANGES);
  return { nodes: A.length + B.length + C.length, groups: { before, after } };
}

/**
 * Restarts the replicas one after the other, drained or not, with other groups of lock nodes. Meanwhile two replicas may
 * ask different lock nodes for one key. Then only the record excludes a second lease.
 */
export async function rollOut(world: World): Promise<void> {
  const { chance, judge, fleet } = world;
  const { before, after } = fleet.groups ?? { before: [], after: [] };
  await world.sleep(chance.pick([100, 1_000, 3_000]) * (0.5 + chance.fraction()));
  const wasWeak = judge.quorumIsWeak;
  if (after.length !== before.length || before.length === 1) judge.quorumIsWeak = true;
  for (const at of world.replicas.keys()) {
    world.rollOut(at);
    if (chance.hits(0.5)) {
      const replica = world.replicas[at];
      replica?.run(() => replica.drain());
      await world.sleep(chance.pick([10, 200]));
    }
    world.say(() => `ROLLOUT of r${at}`, 'rollout');
    world.restartReplica(at);
    await world.sleep(chance.pick([0, 100, 1_000, 3_000]) * chance.fraction());
  }
  // Leases from before may have been extended until now.
  await world.sleep(LIMITS.leaseMsMax);
  const jumped = world.nodes.some(({ clockJumped }) => clockJumped);
  judge.quorumIsWeak = wasWeak || jumped;
}
