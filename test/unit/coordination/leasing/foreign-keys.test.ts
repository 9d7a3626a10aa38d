import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoordinationError } from '../../../../src/coordination/words/errors.js';
import type { Token } from '../../../../src/coordination/words/token.js';
import { CoordinationTrial, leaseOf } from '../../../support/coordination-trial.js';

/** What the store answers if another program has written something else under the name of a key. */
const foreign = () => Promise.reject(new CoordinationError('failed_precondition', 'WRONGTYPE'));

describe('a step that no caller waits for', () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  beforeEach(() => {
    unhandled.length = 0;
    process.prependListener('unhandledRejection', note);
  });
  afterEach(() => {
    process.removeListener('unhandledRejection', note);
  });

  it('ends a lease whose time is up, and whose key is foreign by now', async () => {
    const trial = new CoordinationTrial();
    const lease = await trial.lease({ leaseMs: 500 });
    const heard: unknown[] = [];
    trial.coordinator.watchLease(lease, (end) => heard.push(end));
    Object.assign(trial.store, { explain: foreign });
    await trial.pass(600);
    expect(unhandled).toEqual([]);
    expect(heard).toEqual(['expired']);
    await trial.expectRest();
  });

  it('gives back a lease that the store does not know, although its key is foreign', async () => {
    const trial = new CoordinationTrial();
    Object.assign(trial.store, { release: foreign });
    const token: Token = { kind: 'quorum', nonce: 'n'.repeat(22), fence: 0, leaseMs: 1_000 };
    expect((await trial.publish(token)).outcome).toBe('not_stored');
    expect(unhandled).toEqual([]);
  });

  it('gives back a rebuild slot, although the slots are foreign', async () => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, maxRebuilds: 1 };
    const { token } = leaseOf(await trial.ask());
    Object.assign(trial.namespaces, { leave: foreign, keep: foreign });
    expect((await trial.publish(token)).outcome).toBe('stored');
    expect(unhandled).toEqual([]);
  });
});

describe('a lease whose key is foreign by now', () => {
  /** Neither a lock nor a rebuild slot is left. */
  async function expectFree(trial: CoordinationTrial): Promise<void> {
    await trial.settle();
    const { id, namespace } = trial.key;
    expect((await trial.quorum.acquire(id, 'another', 1_000)).kind).toBe('granted');
    const slot = { slot: 'another', max: 1, ttlMs: 1_000, ttlMsMax: 60_000 };
    expect(await trial.namespaces.enter(namespace, slot)).toBe(true);
    await trial.expectRest();
  }

  async function leased() {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, maxRebuilds: 1 };
    return { trial, lease: await trial.lease() };
  }

  it('keeps nothing after its publish', async () => {
    const { trial, lease } = await leased();
    Object.assign(trial.store, { publish: foreign, release: foreign });
    await expect(trial.publish(lease.token)).rejects.toMatchObject({ kind: 'failed_precondition' });
    await expectFree(trial);
  });

  it('keeps nothing after its release', async () => {
    const { trial, lease } = await leased();
    Object.assign(trial.store, { release: foreign });
    await expect(trial.release(lease.token)).rejects.toMatchObject({ kind: 'failed_precondition' });
    await expectFree(trial);
  });

  it('keeps nothing when it is given back', async () => {
    const { trial, lease } = await leased();
    Object.assign(trial.store, { release: foreign });
    const given = trial.coordinator.giveBack(trial.key, lease);
    await expect(given).rejects.toMatchObject({ kind: 'failed_precondition' });
    await expectFree(trial);
  });

  it('keeps nothing if it cannot be armed', async () => {
    const trial = new CoordinationTrial();
    trial.policy = { ...trial.policy, maxRebuilds: 1 };
    Object.assign(trial.store, { arm: foreign });
    expect((await trial.ask()).error).toMatchObject({ kind: 'failed_precondition' });
    await expectFree(trial);
  });
});
