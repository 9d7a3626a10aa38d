import { describe } from 'vitest';
import { MemoryValueStore } from '../../src/memory/value-store.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';
import { recordKey } from '../../src/redis/keys.js';
import { crowded, crowdId } from '../support/crowded-store.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { ManualClock } from '../support/manual-clock.js';
import { startRedisStore } from '../support/redis-store.js';
import { valueStoreContract } from './value-store.contract.js';
import { wokenValueContract } from './woken-value.contract.js';

const inMemory = async () => {
  const clock = new ManualClock();
  const channel = new MemoryWakeChannel();
  return {
    store: new MemoryValueStore({ clock, wakes: channel }),
    channel,
    pass: async (ms: number) => clock.advance(ms),
    close: async () => {},
  };
};

describe('the value store in memory', () => {
  valueStoreContract(inMemory);
  wokenValueContract(inMemory);
});

describeWithRedis('the value store on Redis', () => {
  valueStoreContract(startRedisStore);
  wokenValueContract(startRedisStore);
});

describeWithRedis('the value store on Redis, with batched calls', () => {
  valueStoreContract(async () => {
    const under = await startRedisStore();
    const foreign = { read: crowdId('read'), arm: crowdId('arm'), publish: crowdId('publish') };
    for (const id of Object.values(foreign)) await under.server.command('SET', recordKey(id), 'not a hash');
    return { ...under, store: crowded(under.store, foreign) };
  });
});
