import type { SimChance } from './sim-chance.js';
import { LIMITS } from './sim-replica.js';
import type { Fleet, Groups, World } from './world.js';

/** Lock nodes of three groups, the last of them larger. */
const [A, B, C] = [
  [0, 1, 2],
  [3, 4, 5],
  [6, 7, 8, 9, 10],
] as const;

/** Groups before a rollout and after it. */
const CHANGES: readonly (readonly [Groups, Groups])[] = [
  // One more, one fewer, another one in its place.
  [[A], [A, B]],
  [
    [A, B],
    [A, B, C],
  ],
  [[A, B], [B]],
  [[A], [C]],
  // The same in another order.
  [
    [A, B],
    [B, A],
  ],
];

/** The groups of a world about them. */
export function groupsOf(chance: SimChance): Pick<Fleet, 'nodes' | 'groups'> {
  const [before, after] = chance.pick(CHANGES);
  return { nodes: A.length + B.length + C.length, groups: { before, after } };
}

/**
 * The replicas restart one after the other, drained or not, and have other groups of lock nodes from then on. Meanwhile two
 * of them may ask different lock nodes for one key, and then the record alone keeps their leases apart.
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
  // Leases of before may have been extended until now.
  await world.sleep(LIMITS.leaseMsMax);
  const jumped = world.nodes.some(({ clockJumped }) => clockJumped);
  judge.quorumIsWeak = wasWeak || jumped;
}
