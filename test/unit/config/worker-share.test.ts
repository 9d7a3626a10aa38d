import { expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.js';
import { shareOfWorker } from '../../../src/config/worker-share.js';

const FLEET = { DIBS_QUORUM_NODES: 'redis://a,redis://b,redis://c', DIBS_STORE_URL: 'redis://s' };

it('a worker gets its share of memory and connections, and the rest of the configuration unchanged', () => {
  const whole = loadConfig({
    ...{
      ...FLEET,
      DIBS_WORKERS: '3',
      DIBS_NEAR_CACHE_BYTES: '1000',
      DIBS_WAITERS: '10',
      DIBS_WAITERS_PER_KEY: '7',
    },
    ...{ DIBS_CONNECTIONS: '5', DIBS_UNSENT_BYTES: '4000000', DIBS_LEASE_MS: '5000' },
  });
  expect(shareOfWorker(whole, 2)).toEqual({
    ...whole,
    worker: 2,
    limits: { ...whole.limits, waitersMax: 3, waitersPerKeyMax: 2 },
    ...{ nearCacheBytes: 333, connectionsMax: 1, unsentBytesMax: 1_333_333 },
  });
});

it('a disabled near cache stays disabled', () => {
  const whole = loadConfig({ ...FLEET, DIBS_WORKERS: '2', DIBS_NEAR_CACHE_BYTES: '0' });
  expect(shareOfWorker(whole, 1).nearCacheBytes).toBe(0);
});
