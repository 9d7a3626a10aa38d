import { expect, it } from 'vitest';
import { endOf, labelOf } from '../../../../src/coordination/waiting/answer-labels.js';
import type { Busy, Hit } from '../../../../src/coordination/words/outcome.js';

const hit = (freshForMs: number): Hit => ({
  kind: 'hit',
  payload: { kind: 'absent' },
  fresh: freshForMs > 0,
  freshForMs,
  fence: 1,
  tags: [],
  rebuilding: false,
});
const busy: Busy = { kind: 'busy', retryAfterMs: 1, holderAgeMs: 0, reason: 'budget' };
const failed = { kind: 'failed' as const, message: 'm', retryAfterMs: 1 };

it('the label of an answer is its kind, of a hit its freshness, of a Busy its reason', () => {
  expect([hit(1), hit(0), busy, failed].map(labelOf)).toEqual(['hit', 'stale', 'budget', 'failed']);
});

it('the end of a wait is named after its answer', () => {
  expect([hit(1), busy, failed].map(endOf)).toEqual(['publish', 'timeout', 'failure']);
});
