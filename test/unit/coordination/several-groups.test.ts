import { describe, expect, it } from 'vitest';
import type { Coordinator } from '../../../src/coordination/coordinator.js';
import { Call } from '../../../src/coordination/words/call.js';
import { MemoryLeaseQuorum } from '../../../src/memory/lease-quorum.js';
import { CoordinationTrial, hitOf, isWaiting, leaseOf, textIn } from '../../support/coordination-trial.js';

// A rollout adds a group of lock nodes: for a while, two replicas ask different lock nodes for the same key. Each of
// them is told that the key is free. The record alone keeps their leases apart.

function trialOf(): { trial: CoordinationTrial; moved: Coordinator; nodes: MemoryLeaseQuorum } {
  const trial = new CoordinationTrial();
  const group = { name: 'the added group', label: 'lock-4:6379' };
  const nodes = Object.assign(new MemoryLeaseQuorum({ clock: trial.clock }), { groupOf: () => group });
  return { trial, moved: trial.replica(nodes), nodes };
}

describe('two replicas that ask different lock nodes for one key', () => {
  it('give one lease when they are asked at once, and the other one gets its value', async () => {
    const { trial, moved } = trialOf();
    const callers = [trial.send(), trial.send({}, new Call(), moved)];
    await trial.settle();
    const [holder] = callers.filter((caller) => !isWaiting(caller));
    const waiting = callers.filter(isWaiting);
    if (holder === undefined) throw new Error('nobody has the lease');
    expect(waiting).toHaveLength(1);
    await trial.publish(leaseOf(holder).token);
    await trial.pass(1_100, 50);
    for (const caller of waiting) expect(textIn(hitOf(caller))).toBe('a value');
  });

  it('give no second lease while one runs, and one in its time when its holder has died', async () => {
    const { trial, moved } = trialOf();
    await trial.lease({ leaseMs: 1_000 });
    const next = await trial.ask({ waitMs: 20_000 }, new Call(), moved);
    await trial.pass(1_000 + trial.limits.silenceMs - 100, 50);
    expect(isWaiting(next)).toBe(true);
    // It tries with pauses: nothing tells when the last lease is over, and each try costs votes.
    expect(trial.store.countOf('arm')).toBeLessThan(40);
    await trial.pass(1_500, 50);
    expect(leaseOf(next).reason).toBe('holder_lost');
  });

  it('give no second lease while the first was extended at its lock nodes only, because the store was late', async () => {
    const { trial, moved } = trialOf();
    const { token } = await trial.lease({ leaseMs: 1_000 });
    await trial.pass(400);
    const late = trial.store.holdBefore('extend');
    const extending = trial.extend(token, 1_000);
    await trial.pass(400);
    const extended = await extending;
    // The holder may go on beyond what the record says.
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

  it('keep a lease apart that both have extended, whichever lock nodes still hold it', async () => {
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
    expect((await nodes.acquire(trial.key.id, 'a nonce of nobody', 10)).kind).toBe('granted');
    expect(isWaiting(next)).toBe(true);
    late.open();
  });

  it('take a publish of each other, also where the lock nodes know nothing of the lease', async () => {
    const { trial, moved } = trialOf();
    const { token } = await trial.lease();
    expect((await trial.publish(token, 'a value', {}, moved)).outcome).toBe('stored');
    expect(textIn(hitOf(await trial.ask()))).toBe('a value');
  });
});
