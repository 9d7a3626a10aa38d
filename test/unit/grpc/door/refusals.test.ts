import { expect, it } from 'vitest';
import { AddressRates } from '../../../../src/access/address-rates.js';
import { REFUSED_CALLS } from '../../../../src/grpc/door/door.js';

it('an address may be refused 300 times at once, then 200 times a second once 150 are available again', () => {
  let nowMs = 0;
  const refusals = new AddressRates({ nowMs: () => nowMs }, REFUSED_CALLS);
  const counted = (peer: string) => {
    let count = 0;
    while (refusals.count(peer)) count += 1;
    return count;
  };
  expect(counted('a')).toBe(300);
  nowMs += 745;
  expect(counted('a')).toBe(0);
  nowMs += 5;
  expect(counted('a')).toBe(150);
  expect(counted('b')).toBe(300);
});

it('an address that has used them up gets five new connections a second, and others are not limited', () => {
  let nowMs = 0;
  const refusals = new AddressRates({ nowMs: () => nowMs }, REFUSED_CALLS);
  while (refusals.count('a'));
  const connected = (peer: string) => {
    let count = 0;
    while (count < 100 && refusals.mayConnect(peer)) count += 1;
    return count;
  };
  expect(connected('a')).toBe(5);
  expect(connected('b')).toBe(100);
  nowMs += 199;
  expect(connected('a')).toBe(0);
  nowMs += 1;
  expect(connected('a')).toBe(1);
  nowMs += 550;
  expect(connected('a')).toBe(100);
  nowMs += 60_000;
  refusals.sweep();
  expect(connected('a')).toBe(100);
});

it('an address that has used them up is suspect until all of them are available again', () => {
  let nowMs = 0;
  const refusals = new AddressRates({ nowMs: () => nowMs }, REFUSED_CALLS);
  for (let count = 0; count < 300; count += 1) refusals.count('a');
  expect(refusals.isSuspect('a')).toBe(false);
  refusals.count('a');
  expect(refusals.isSuspect('a')).toBe(true);
  nowMs += 1_495;
  expect(refusals.isSuspect('a')).toBe(true);
  nowMs += 5;
  expect(refusals.isSuspect('a')).toBe(false);
  expect(refusals.isSuspect('b')).toBe(false);
});
