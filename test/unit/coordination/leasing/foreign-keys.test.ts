import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { CoordinationError } from '../../../../src/coordination/words/errors.js';
import type { Token } from '../../../../src/coordination/words/token.js';
import { CoordinationTrial, leaseOf } from '../../../support/coordination-trial.js';
import { textValue } from '../../../support/store-trial.js';
import { ToldTrace } from '../../../support/told-trace.js';

const FOREVER = Number.POSITIVE_INFINITY;

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

  it.each([
    ['its key is foreign', foreign],
    ['of a fault of this replica', () => Promise.reject(new TypeError('a fault'))],
  ])(
    'ends in traces and metrics, with what it held, if its publish fails because %s',
    async (_why, fails) => {
      const trial = new CoordinationTrial();
      trial.policy = { ...trial.policy, maxRebuilds: 1 };
      const traces = [new ToldTrace('the holder'), new ToldTrace('the publish')] as const;
      const [holder, call] = traces.map((trace) => new Call('', FOREVER, '', trace));
      const { token } = leaseOf(await trial.ask({}, holder));
      trial.clock.advance(70);
      Object.assign(trial.store, { publish: fails, release: fails });
      const { key } = trial;
      const request = { key, token, payload: textValue('a value'), ttlMs: 1_000, tags: [] };
      await expect(trial.coordinator.publish(request, call as Call)).rejects.toThrow();
      expect(traces[0].step('lease')).toMatchObject({ ended: true, facts: { leaseEnd: 'released' } });
      expect(traces[1].step('publish')).toMatchObject({ ended: true });
      expect(trial.told('leaseEnded')).toEqual([['trial', 'released', 70, 'lease of the holder']]);
      await expectFree(trial);
    },
  );

  it('ends if the fault comes after its value was stored', async () => {
    const { trial, lease } = await leased();
    Object.defineProperty(trial.wakes, 'live', { get: () => false });
    Object.assign(trial.namespaces, { read: foreign });
    await expect(trial.publish(lease.token)).rejects.toMatchObject({ kind: 'failed_precondition' });
    expect(trial.told('leaseEnded')).toHaveLength(1);
    await expectFree(trial);
  });

  it('ends with its extension', async () => {
    const { trial, lease } = await leased();
    Object.assign(trial.store, { extend: foreign });
    await expect(trial.extend(lease.token)).rejects.toMatchObject({ kind: 'failed_precondition' });
    expect(trial.told('leaseEnded')).toHaveLength(1);
    await expectFree(trial);
  });

  it('ends when another session takes it over', async () => {
    const { trial, lease } = await leased();
    const answer = await trial.extend(lease.token);
    Object.assign(trial.store, { adopt: foreign });
    const moving = trial.coordinator.takeOver({ key: trial.key, token: lease.token }, answer);
    await expect(moving).rejects.toMatchObject({ kind: 'failed_precondition' });
    expect(trial.told('leaseEnded')).toHaveLength(1);
    await expectFree(trial);
  });

  it('keeps nothing after a release that fails because of a fault of this replica', async () => {
    const { trial, lease } = await leased();
    Object.assign(trial.store, { release: () => Promise.reject(new TypeError('a fault')) });
    await expect(trial.release(lease.token)).rejects.toThrow('a fault');
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
