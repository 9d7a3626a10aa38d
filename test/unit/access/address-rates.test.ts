import { expect, it } from 'vitest';
import { AddressRates } from '../../../src/access/address-rates.js';

const BOUNDS = { burst: 4, perSecond: 10, recovered: 2, connectionsPerSecond: 1 };

// Its numbers for the door are in `test/unit/grpc/door/refusals.test.ts`.

it('an address that has used up its burst gets none until enough has recovered', () => {
  let nowMs = 0;
  const rates = new AddressRates({ nowMs: () => nowMs }, BOUNDS);
  const counted = () => {
    let count = 0;
    while (rates.count('a')) count += 1;
    return count;
  };
  expect(counted()).toBe(4);
  expect([rates.isUsedUp('a'), rates.isUsedUp('b')]).toEqual([true, false]);
  nowMs += 199;
  expect(counted()).toBe(0);
  nowMs += 1;
  expect(rates.isUsedUp('a')).toBe(false);
  expect(counted()).toBe(2);
});

it('at most 10,000 addresses are remembered, and those that have recovered are forgotten', () => {
  let nowMs = 0;
  const rates = new AddressRates({ nowMs: () => nowMs }, BOUNDS);
  for (let count = 0; count < 10_001; count += 1) rates.count(`${count}`);
  expect(rates.size).toBe(10_000);
  nowMs += 100;
  rates.sweep();
  expect(rates.size).toBe(0);
});
