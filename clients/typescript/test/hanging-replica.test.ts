import { expect, it, vi } from 'vitest';
import { busy, hit } from './fake-service.js';
import { callOf, type PlayedStream, played } from './played-service.js';

// Many keys of two replicas, one of which says nothing.

it('does not use up the wait of keys that others rebuild, at the other replica', async () => {
  const { client, streams } = played({ keyAffinity: true }, ['one', 'two']);
  const opening = client.fetch(callOf('first'));
  const [one] = streams as [PlayedStream];
  one.welcome('one');
  one.reply((await one.next()).id, { $case: 'getOrLock', value: hit('v') });
  await opening;
  await vi.waitFor(() => expect(streams).toHaveLength(2));
  streams[1]?.welcome('two');
  const keys = Array.from({ length: 40 }, (_, at) => `k${at}`);
  const left = new AbortController();
  const { of } = client.fetchMany({
    ...{ namespace: '', keys, onUnavailable: 'fail' },
    options: { ttlMs: 60_000, waitMs: 20_000, signal: left.signal },
    rebuild: () => Promise.reject(new Error('there is no lease')),
  });
  for (const answer of of.values()) answer.catch(() => {});
  const look = await one.next();
  one.replyMany(look, () => busy(10));
  const { request } = await one.next();
  const asked = request?.$case === 'getOrLockMany' ? request.value : undefined;
  expect(asked?.keys).toEqual(look.request?.$case === 'getOrLockMany' && look.request.value.keys);
  expect(asked?.keys.length).toBeLessThan(keys.length);
  expect(asked?.waitMs).toBeGreaterThan(0);
  left.abort();
});
