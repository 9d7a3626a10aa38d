import { expect, test } from 'vitest';
import { MemoryLeaseQuorum } from '../../../src/memory/lease-quorum.js';
import { alive, type MemoryRecord } from '../../../src/memory/memory-record.js';
import { Sweep } from '../../../src/memory/sweep.js';
import { MemoryValueStore } from '../../../src/memory/value-store.js';
import { MemoryWakeChannel } from '../../../src/memory/wake-channel.js';
import { freshNonce } from '../../support/fresh-nonce.js';
import { ManualClock } from '../../support/manual-clock.js';

test('a sweep drops expired entries, keeps the others, and gets round while entries come and go', () => {
  const entries = new Map<string, number>();
  const sweep = new Sweep(entries, (endMs, nowMs) => (endMs <= nowMs ? undefined : endMs));
  for (let at = 0; at < 1000; at++) {
    entries.set(`short ${at}`, at + 10);
    if (at % 10 === 0) entries.set(`long ${at}`, 10_000);
    sweep.some(at);
  }
  expect([...entries.keys()].filter((key) => key.startsWith('long'))).toHaveLength(100);
  expect(entries.size).toBeLessThan(250);
  for (let step = 0; step < 200; step++) sweep.some(5_000);
  expect(entries.size).toBe(100);
});

test('the memory of store and quorum is bounded by the living entries', async () => {
  const clock = new ManualClock();
  const store = new MemoryValueStore({ clock, wakes: new MemoryWakeChannel() });
  const quorum = new MemoryLeaseQuorum({ clock });
  for (let at = 0; at < 5_000; at++) {
    await store.invalidate(`id ${at}`, { mode: 'delete', keepMs: 50 });
    await quorum.acquire(`id ${at}`, freshNonce(), 100);
    clock.advance(1);
  }
  expect(store.size).toBeLessThan(200);
  expect(quorum.size).toBeLessThan(400);
});

test('an expired value is dropped before its record', () => {
  const value = {
    payload: { kind: 'value', bytes: new Uint8Array(1_000) },
    ...{ publishedAtMs: 0, freshUntilMs: 10, servableUntilMs: 20, clock: 'c.1', tags: [] },
  } as const;
  const records = new Map([['id', { fence: 1, valueFence: 1, value, expiresAtMs: 1_000 } as MemoryRecord]]);
  const sweep = new Sweep(records, alive);
  sweep.some(19);
  expect(records.get('id')?.value).toBe(value);
  for (let step = 0; step < 2; step += 1) sweep.some(20);
  expect(records.get('id')).toEqual({ fence: 1, valueFence: 1, value: undefined, expiresAtMs: 1_000 });
});

test('reading keys that are not rebuilt takes no memory', async () => {
  const store = new MemoryValueStore({ clock: new ManualClock(), wakes: new MemoryWakeChannel() });
  for (let at = 0; at < 100; at++) await store.read(`id ${at}`);
  expect(store.size).toBe(0);
});
