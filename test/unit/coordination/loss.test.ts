import { describe, expect, it } from 'vitest';
import { failIfAsked, ignoreLoss, lost, undefinedIfLost } from '../../../src/coordination/loss.js';
import { defaultPolicy } from '../../../src/coordination/policy.js';
import { StoreUnavailable } from '../../../src/coordination/value-store.js';
import { LIMITS } from '../../support/coordination-trial.js';

describe('the loss of the store', () => {
  it('is expected, and every other error is a fault of ours', () => {
    expect(() => ignoreLoss(new StoreUnavailable('gone'))).not.toThrow();
    expect(undefinedIfLost(new StoreUnavailable('gone'))).toBeUndefined();
    expect(() => ignoreLoss(new TypeError('ours'))).toThrow('ours');
    expect(() => undefinedIfLost(new TypeError('ours'))).toThrow('ours');
  });

  it('is an error only where the namespace wants one, and then says when to come back', () => {
    const policy = defaultPolicy(LIMITS);
    expect(() => failIfAsked(policy, 'the value store')).not.toThrow();
    expect(() => failIfAsked({ ...policy, onLoss: 'fail' }, 'the value store')).toThrow(/on_loss is fail/);
    expect(lost('nothing can decide')).toMatchObject({ kind: 'unavailable', retryAfterMs: 1_000 });
  });
});
