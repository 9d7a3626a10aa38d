import { describe, expect, it } from 'vitest';
import type { Coordinator } from '../../../src/coordination/coordinator.js';
import { Call } from '../../../src/coordination/words/call.js';
import { MemoryLeaseQuorum } from '../../../src/memory/lease-quorum.js';
import { CoordinationTrial, hitOf, isWaiting, leaseOf, textIn } from '../../support/coordination-trial.js';

// A rollout adds a group of lock nodes: for a while, two replicas ask different lock nodes for the same key. Each of
// them finds the key free. The record alone keeps their leases apart.

function trialOf(): { trial: CoordinationTrial; moved: Coordinator; nodes: MemoryLeaseQuorum } {
  const trial = new CoordinationTrial();
  const group = { name: 'the added group', label: 'lock-4:6379' };
  const nodes = Object.assign(new MemoryLeaseQuorum({ clock: trial.clock }), { groupOf: () => group });
  return { trial, moved: trial.replica(nodes), nodes };
}

describe('two replicas that ask different lock nodes for one key', () => {
  it('grant one lease when they are asked at once, and the other caller gets its value', async () => {
    const { trial, moved } = trialOf();
    const callers = [trial.send(), trial.send({}, new Call(), moved)];
    await trial.settle();
    const [holder] = callers.filter((caller) => !isWaiting(caller));
    const waiting = callers.filter(isWaiting);
    if (holder === undefined) throw new Error('no caller has the lease');
    expect(waiting).toHaveLength(1);
    await trial.publish(leaseOf(holder).token);
    await trial.pass(1_100, 50);
    for (const caller of waiting) expect(textIn(hitOf(caller))).toBe('a value');
  });

  it('grant no second lease while one runs, and the next one in time when its holder has died', async () => {
    const { trial, moved } = trialOf();
    await trial.lease({ leaseMs: 1_000 });
    const next = await trial.ask({ waitMs: 20_000 }, new Call(), moved);
    await trial.pass(1_000 + trial.limits.silenceMs - 100, 50);
    expect(isWaiting(next)).toBe(true);
    // It retries with pauses: nothing tells it when the last lease ends, and each attempt costs votes.
    expect(trial.store.countOf('arm')).toBeLessThan(40);
    await trial.pass(1_500, 50);
    expect(leaseOf(next).reason).toBe('holder_lost');
  });

  it('grant no second lease while the first was extended only at its lock nodes, because the store was late', async () => {
    const { trial, moved } = trialOf();
    const { token } = await trial.lease({ leaseMs: 1_000 });
    await trial.pass(400);
    const late = trial.store.holdBefore('extend');
    const extending = trial.extend(token, 1_000);
    await trial.pass(400);
    const extended = await extending;
    // The holder may continue beyond the end in the record.
    const goesOnMs = extended.expiresInMs;
    expect(extended.outcome).toBe('extended');
    expect(goesOnMs).toBeGreaterThan(500);
    const next = await trial.ask({ waitMs: 20_000 }, new Call(), moved);
    await trial.pass(goesOnMs);
    expect(isWaiting(next)).toBe(true);
    late.open();
    await trial.pass(trial.limits.silenceMs + 1_500, 50);
    expect(isWaiting(next)).toBe(false);
  });

  it('keep a lease exclusive that both have extended, whichever lock nodes still hold it', async () => {
    const { trial, moved, nodes } = trialOf();
    const { token } = await trial.lease({ leaseMs: 1_000 });
    await trial.pass(500);
    expect((await trial.extend(token, 600, moved)).outcome).toBe('extended');
    const late = trial.store.holdBefore('extend');
    const extending = trial.extend(token, 1_000);
    await trial.pass(400);
    const goesOnMs = (await extending).expiresInMs;
    // The moved replica's nodes hold it no longer than the record says.
    const next = await trial.ask({ waitMs: 20_000 }, new Call(), moved);
    await trial.pass(goesOnMs);
    expect((await nodes.acquire(trial.key.id, 'an unused nonce', 10)).kind).toBe('granted');
    expect(isWaiting(next)).toBe(true);
    late.open();
  });

  it("accept publishes for each other's leases, even if their lock nodes do not know the lease", async () => {
    const { trial, moved } = trialOf();
    const { token } = await trial.lease();
    expect((await trial.publish(token, 'a value', {}, moved)).outcome).toBe('stored');
    expect(textIn(hitOf(await trial.ask()))).toBe('a value');
  });
});
