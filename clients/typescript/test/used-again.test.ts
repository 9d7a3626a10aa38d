import { expect, it, vi } from 'vitest';
import { Changes } from '../src/changes.js';
import { DibsClient } from '../src/client.js';
import type * as wire from '../src/generated/dibs/v1/coordinator.js';
import type { Transport } from '../src/transport.js';
import { lease } from './fake-service.js';
import { played } from './played-service.js';
import { deferred } from './service.js';

// Lists that their caller changes while its call is under way.

const ttlMs = 60_000;

it('an invalidation drops the copies of the keys and tags that it was given', async () => {
  const { client } = played();
  const sent = vi.spyOn(client.transport, 'invalidate').mockResolvedValue({
    keysInvalidated: 0,
    leasesVoided: 0,
  });
  const changed = vi.spyOn(Changes.prototype, 'changed');
  const [keys, tags] = [['a'], ['t']];
  const invalidating = client.invalidate({ keys, tags });
  keys.length = 0;
  tags.length = 0;
  await invalidating;
  expect(sent).toHaveBeenCalledTimes(1);
  expect(changed).toHaveBeenCalledWith({ namespace: '', keys: ['a'], tags: ['t'], all: false });
});

it('an invalidation of more keys than one call may have is of those that it was given', async () => {
  const { client } = played();
  const sent: number[] = [];
  vi.spyOn(client.transport, 'invalidate').mockImplementation(async ({ keys }) => {
    sent.push(keys.length);
    return { keysInvalidated: 0, leasesVoided: 0 };
  });
  const keys = Array.from({ length: 1_500 }, (_, at) => `k${at}`);
  const invalidating = client.invalidate({ keys });
  keys.length = 0;
  await invalidating;
  expect(sent).toEqual([1_000, 500]);
});

it('a value is stored with the tags that its call was given', async () => {
  const gate = deferred();
  const publish = vi.fn(async (_: wire.PublishRequest) => ({
    ...{ outcome: 1, fence: 4, counts: true, maybeStored: false },
  }));
  const transport: Partial<Transport> = {
    getOrLock: () => gate.promise.then(() => lease('t')),
    publish,
    close: () => {},
  };
  const client = new DibsClient({ transport: transport as Transport });
  const tags = ['t'];
  const calls = [client.set('k', 'v', { ttlMs, tags }), client.getOrRebuild('l', () => 'v', { ttlMs, tags })];
  tags[0] = 'other';
  gate.resolve();
  await Promise.all(calls);
  expect(publish.mock.calls.map(([request]) => request.tags)).toEqual([['t'], ['t']]);
});
