import { describe, expect, it } from 'vitest';
import { CoordinationTrial } from '../../../support/coordination-trial.js';

const explain = (trial: CoordinationTrial) => trial.coordinator.explain(trial.key);

describe('an explanation', () => {
  it('of an unknown key is empty', async () => {
    expect(await explain(new CoordinationTrial())).toEqual({
      ...{ waiters: 0, fence: 0, past: [], degraded: 'none' },
    });
  });

  it('shows the holder, its times and the number of waiters, but not the token', async () => {
    const trial = new CoordinationTrial();
    const { fence, token } = await trial.lease({ holder: 'pod-7', leaseMs: 1_000 });
    await trial.ask();
    trial.clock.advance(200);
    const said = await explain(trial);
    expect(said).toMatchObject({
      lease: { holder: 'pod-7', fence, ageMs: 200, reason: 'miss' },
      ...{ waiters: 1, fence },
    });
    expect(said.lease?.expiresInMs).toBeCloseTo(788, 0);
    expect(JSON.stringify(said)).not.toContain(token.nonce);
  });

  it('shows what is known of the value, but not the value', async () => {
    const trial = new CoordinationTrial();
    const { token, fence } = await trial.lease();
    await trial.publish(token, 'secret', { ttlMs: 1_000, staleMs: 5_000, tags: ['t'] });
    trial.clock.advance(400);
    const said = await explain(trial);
    expect(said.value).toEqual({
      ...{ absent: false, sizeBytes: 6, ageMs: 400, freshForMs: 600, staleForMs: 5_000, fence, tags: ['t'] },
    });
    expect(said.lease).toBeUndefined();
    trial.clock.advance(1_000);
    expect((await explain(trial)).value).toMatchObject({ freshForMs: 0, staleForMs: 4_600 });
  });

  it('shows how the last leases ended, newest first, at most sixteen', async () => {
    const trial = new CoordinationTrial();
    await trial.publish((await trial.lease({ holder: 'a' })).token, 'v', { ttlMs: 10 });
    trial.clock.advance(10);
    const failing = await trial.lease({ holder: 'b' });
    trial.clock.advance(50);
    await trial.release(failing.token, { message: 'no database', retryAfterMs: 0 });
    trial.clock.advance(5);
    await trial.release((await trial.lease({ holder: 'c' })).token);
    await trial.lease({ holder: 'd' });
    await trial.invalidate();
    await trial.lease({ holder: 'e', leaseMs: 100 });
    await trial.pass(200);
    const { past, failed } = await explain(trial);
    expect(past.map(({ holder, end }) => [holder, end])).toEqual([
      ['e', 'expired'],
      ['d', 'invalidated'],
      ['c', 'released'],
      ['b', 'failed'],
      ['a', 'published'],
    ]);
    expect(past[3]).toMatchObject({ heldMs: 50, failure: 'no database', fence: failing.fence });
    expect(past[3]?.endedAgoMs).toBeCloseTo(205, 0);
    expect(failed).toBeUndefined();
    for (let at = 0; at < 20; at += 1) await trial.release((await trial.lease()).token);
    expect((await explain(trial)).past).toHaveLength(16);
  });

  it('shows an expired lease as soon as it has expired, and only once', async () => {
    const trial = new CoordinationTrial();
    await trial.lease({ holder: 'dead', leaseMs: 100 });
    await trial.pass(300);
    expect((await explain(trial)).past).toMatchObject([{ holder: 'dead', end: 'expired' }]);
    await trial.lease();
    expect((await explain(trial)).past).toMatchObject([{ holder: 'dead', end: 'expired' }]);
  });

  it('shows the failure whose back-off runs', async () => {
    const trial = new CoordinationTrial();
    await trial.release((await trial.lease()).token, { message: 'no database' });
    expect((await explain(trial)).failed).toMatchObject({ message: 'no database', retryAfterMs: 1_000 });
  });

  it('without the store shows what this replica knows and the degradation, unless on_loss is fail', async () => {
    const trial = new CoordinationTrial();
    await trial.lease({ holder: 'pod-7' });
    trial.store.down = true;
    expect(await explain(trial)).toMatchObject({
      ...{ lease: { holder: 'pod-7' }, past: [], degraded: 'store_lost' },
    });
    trial.policy = { ...trial.policy, onLoss: 'fail' };
    await expect(explain(trial)).rejects.toMatchObject({ kind: 'unavailable' });
  });
});
