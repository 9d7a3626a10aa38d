import { describe, expect, it, test } from 'vitest';
import { keyOf } from '../../../src/coordination/words/key.js';
import { lockGroupOf } from '../../../src/quorum/lock-group.js';
import { ShardedQuorum } from '../../../src/quorum/sharded-quorum.js';
import { leaseQuorumContract } from '../../contract/lease-quorum.contract.js';
import { freshNonce } from '../../support/fresh-nonce.js';
import { ManualClock } from '../../support/manual-clock.js';
import { LEASE_MS_MAX, SimulatedQuorum } from '../../support/simulated-quorum.js';

const NODES = 3;

/** Groups of lock nodes on one clock. All of them vote. */
async function groupsOf(...prefixes: string[]): Promise<SimulatedQuorum[]> {
  const clock = new ManualClock();
  return Promise.all(
    prefixes.map((prefix) => SimulatedQuorum.voting(NODES, LEASE_MS_MAX, { clock, prefix })),
  );
}

const idAt = (at: number) => keyOf('shop', `key ${at}`).id;
const quorumsOf = (groups: readonly SimulatedQuorum[]) => groups.map(({ quorum }) => quorum);

describe('two groups of lock nodes', () => {
  leaseQuorumContract(async () => {
    const groups = await groupsOf('a', 'b');
    const [one] = groups as [SimulatedQuorum];
    return {
      quorum: new ShardedQuorum(quorumsOf(groups)),
      other: new ShardedQuorum(quorumsOf(groups).reverse()),
      clock: one.clock,
      pass: (ms) => one.pass(ms),
      close: async () => {
        await Promise.all(quorumsOf(groups).map((quorum) => quorum.close()));
      },
    };
  });
});

describe('a quorum of several groups', () => {
  it('uses one group for a key, whatever the order of the groups', async () => {
    const groups = await groupsOf('a', 'b', 'c');
    const sharded = new ShardedQuorum(quorumsOf(groups));
    const turned = new ShardedQuorum(quorumsOf(groups).reverse());
    for (let at = 0; at < 30; at += 1) {
      const id = idAt(at);
      expect(turned.groupOf(id)).toBe(sharded.groupOf(id));
      const nonce = freshNonce();
      const ballot = sharded.acquire(id, nonce, 5_000);
      await groups[0]?.settle();
      expect((await ballot).kind).toBe('granted');
      const asked = groups.filter((group) => group.holders(id).some((holder) => holder === nonce));
      expect(asked.map(({ quorum }) => quorum.groupOf())).toEqual([sharded.groupOf(id)]);
    }
  });

  it('spreads keys evenly over the groups, and a new group takes its share from each of the others', async () => {
    const groups = await groupsOf('a', 'b', 'c', 'd');
    const before = new ShardedQuorum(quorumsOf(groups.slice(0, 3)));
    const after = new ShardedQuorum(quorumsOf(groups));
    const added = groups[3]?.quorum.groupOf();
    const counts = new Map<string, number>();
    const moved = new Map<string, number>();
    for (let at = 0; at < 12_000; at += 1) {
      const [was, is] = [before.groupOf(idAt(at)), after.groupOf(idAt(at))];
      counts.set(is.name, (counts.get(is.name) ?? 0) + 1);
      if (was === is) continue;
      expect(is).toBe(added);
      moved.set(was.name, (moved.get(was.name) ?? 0) + 1);
    }
    for (const count of counts.values()) expect(Math.abs(count - 3_000)).toBeLessThan(200);
    for (const count of moved.values()) expect(Math.abs(count - 1_000)).toBeLessThan(150);
    expect([counts.size, moved.size]).toEqual([4, 3]);
  });

  it('loses only the keys of a lost group', async () => {
    const groups = await groupsOf('a', 'b');
    const [one] = groups as [SimulatedQuorum];
    const sharded = new ShardedQuorum(quorumsOf(groups));
    for (const node of one.nodes) node.disconnect();
    await one.settle();
    const kinds = new Map<string, Set<string>>();
    for (let at = 0; at < 20; at += 1) {
      const ballot = sharded.acquire(idAt(at), freshNonce(), 5_000);
      await one.settle();
      const { name } = sharded.groupOf(idAt(at));
      kinds.set(name, (kinds.get(name) ?? new Set()).add((await ballot).kind));
    }
    const [lost, other] = quorumsOf(groups).map((quorum) => kinds.get(quorum.groupOf().name));
    expect([[...(lost ?? [])], [...(other ?? [])]]).toEqual([['unavailable'], ['granted']]);
  });

  it('extends and releases where it acquired', async () => {
    const groups = await groupsOf('a', 'b');
    const sharded = new ShardedQuorum(quorumsOf(groups));
    const settled = async <T>(what: Promise<T>) => {
      await groups[0]?.settle();
      return what;
    };
    for (let at = 0; at < 10; at += 1) {
      const [id, nonce] = [idAt(at), freshNonce()];
      await settled(sharded.acquire(id, nonce, 5_000));
      expect((await settled(sharded.extend(id, nonce, 6_000))).kind).toBe('granted');
      const holders = () => groups.flatMap((group) => group.holders(id)).filter((holder) => holder === nonce);
      expect(holders()).toHaveLength(NODES);
      await settled(sharded.release(id, nonce));
      expect(holders()).toHaveLength(0);
    }
  });

  it('needs at least one group, and groups without the same nodes', async () => {
    const [one] = (await groupsOf('a')) as [SimulatedQuorum];
    expect(() => new ShardedQuorum([])).toThrow(RangeError);
    expect(() => new ShardedQuorum([one.quorum, one.quorum])).toThrow('two groups have the same lock nodes');
  });
});

describe('the name of a group', () => {
  test('depends on its nodes, in any order and spelling', () => {
    const group = lockGroupOf(['b:1', 'a:1', 'c:1'], 'others');
    expect(lockGroupOf(['c:1', 'A:1', 'b:1'], 'others')).toEqual(group);
    expect(group.label).toBe('a:1');
    expect(group.name).toMatch(/^[\w-]{11}$/);
    expect(lockGroupOf(['a:1', 'b:1', 'd:1']).name).not.toBe(group.name);
  });

  test('has no label if there is only one group', () => {
    expect(lockGroupOf(['a:1', 'b:1', 'c:1']).label).toBe('');
  });
});
