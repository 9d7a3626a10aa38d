import { expect, test } from 'vitest';
import type { TakeStep } from '../../../src/quorum/lock-node.js';
import { packFrees, packTakes, readTakes } from '../../../src/redis/lock-steps.js';

test('a call is one line for each step', () => {
  const steps: TakeStep[] = [
    { kind: 'acquire', id: 'YQ', nonce: 'n1', ttlMs: 1_000 },
    { kind: 'extend', id: 'Yg', nonce: 'n2.checkout', ttlMs: 50 },
  ];
  expect(packTakes(steps)).toBe('an1 1000 YQ\nxn2.checkout 50 Yg\n');
  expect(packFrees([{ id: 'YQ', nonce: 'n1' }])).toBe('n1 YQ\n');
});

test('each step has its own reply, and each error its own text', () => {
  const reply = Buffer.from('10ueex\nOOM of the first\nREADONLY of the second');
  expect(readTakes(reply, 6)).toEqual([
    'done',
    'held',
    'unmarked',
    expect.objectContaining({ name: 'Refused', message: expect.stringContaining('OOM of the first') }),
    expect.objectContaining({ name: 'Refused', message: expect.stringContaining('READONLY of the second') }),
    // Its meaning is unknown, so it is neither a vote nor a refusal.
    expect.objectContaining({ name: 'Error' }),
  ]);
});

test('a reply that is too short still gives each step an answer', () => {
  expect(readTakes(Buffer.from('1'), 2)).toEqual(['done', expect.any(Error)]);
});
