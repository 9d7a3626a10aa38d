import { beforeEach, describe, expect, test } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { CoordinationTrial, failedOf, isWaiting } from '../../../support/coordination-trial.js';

const LONG_MS = 60_000;

describe('a back-off', () => {
  let trial: CoordinationTrial;
  beforeEach(async () => {
    trial = new CoordinationTrial();
    const { token } = await trial.lease();
    await trial.pass(50);
    await trial.release(token, { message: 'no database', retryAfterMs: LONG_MS });
    expect(failedOf(await trial.ask()).message).toBe('no database');
  });
  const invalidate = (over: object) =>
    trial.coordinator.invalidate(
      { namespace: 'trial', keys: [], tags: [], all: false, mode: 'delete', ...over },
      new Call(),
    );

  test('ends when its key is invalidated', async () => {
    await invalidate({ keys: [trial.key] });
    await trial.lease();
  });

  test.each(['delete', 'mark_stale'])('ends when its whole namespace is invalidated: %s', async (mode) => {
    await invalidate({ all: true, mode });
    await trial.lease();
  });

  test('does not end when a tag is invalidated', async () => {
    await invalidate({ tags: ['t'] });
    failedOf(await trial.ask());
  });

  test('lets refreshes make one attempt a second, over all replicas', async () => {
    const other = trial.replica();
    const refused = failedOf(await trial.ask({ intent: 'refresh' }));
    expect(refused.retryAfterMs).toBeLessThanOrEqual(1_250);
    await trial.pass(1_000);
    const { token } = await trial.lease({ intent: 'refresh' });
    await trial.pass(10);
    await trial.release(token);
    failedOf(await trial.ask({ intent: 'refresh' }, new Call(), other));
    await trial.pass(1_000);
    await trial.lease({ intent: 'refresh' }, other);
  });

  test('lets callers wait while a refresh runs, passes its failure on to them, and goes on', async () => {
    await trial.pass(1_000);
    const { token } = await trial.lease({ intent: 'refresh' });
    const waiting = [await trial.ask(), await trial.ask({ intent: 'refresh' })];
    expect(waiting.every(isWaiting)).toBe(true);
    await trial.pass(1_200);
    await trial.release(token, { message: 'still none', retryAfterMs: LONG_MS });
    for (const asked of waiting) expect(failedOf(asked).message).toBe('still none');
    expect(failedOf(await trial.ask()).message).toBe('still none');
  });

  test('is at most as long as the policy allows', async () => {
    trial.policy = { ...trial.policy, failureBackoffMs: 400, failureBackoffMsMax: 500 };
    await invalidate({ keys: [trial.key] });
    const { token } = await trial.lease();
    await trial.release(token, { message: 'no' });
    expect(failedOf(await trial.ask()).retryAfterMs).toBeLessThanOrEqual(625);
    await trial.pass(500);
    await trial.lease();
  });
});
