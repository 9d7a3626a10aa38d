import { describe } from 'vitest';
import type { Clock } from '../../src/coordination/ports/clock.js';
import { MemoryNamespaceStore } from '../../src/memory/namespace-store.js';
import { MemoryValueStore } from '../../src/memory/value-store.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';
import { SystemChance } from '../../src/system-chance.js';
import { ManualClock } from '../support/manual-clock.js';
import { RedisServer } from '../support/redis-server.js';
import { connectRedisStore } from '../support/redis-store.js';
import { describeWithShiftedRedis, ShiftedClock } from '../support/shifted-clock.js';
import { StoreTrial } from '../support/store-trial.js';
import { storeClockContract } from './store-clock.contract.js';

describe('the store in memory, its clock set back', () => {
  storeClockContract(async () => {
    const under = new ManualClock();
    let shiftMs = 0;
    const clock: Clock = {
      nowMs: () => under.nowMs() + shiftMs,
      after: (ms, fire) => under.after(ms, fire),
      turn: () => under.turn(),
    };
    const wakes = new MemoryWakeChannel();
    const store = new MemoryValueStore({ clock, wakes });
    return {
      trial: new StoreTrial({ store, channel: wakes, pass: async () => {}, close: async () => {} }),
      namespaces: new MemoryNamespaceStore({ clock, chance: new SystemChance(), wakes }),
      jumpTo: (seconds) => {
        shiftMs = seconds * 1_000;
      },
      close: async () => {},
    };
  });
});

describeWithShiftedRedis('the store on Redis, its clock set back', () => {
  storeClockContract(async () => {
    const clock = ShiftedClock.create();
    if (clock === undefined) throw new Error('test/support/clock-shift.c cannot be built');
    const server = await RedisServer.start({ env: clock.env });
    const under = await connectRedisStore(server.url);
    return {
      trial: new StoreTrial(under),
      namespaces: under.namespaces,
      jumpTo: (seconds) => clock.jumpTo(seconds),
      close: async () => {
        await under.close();
        await server.stop();
        clock.remove();
      },
    };
  });
});
