import { expect, it } from 'vitest';
import { Freshness } from '../src/generated/dibs/v1/coordinator.js';
import { lease } from './fake-service.js';
import { callOf, type PlayedStream, played } from './played-service.js';

// A process reads its own writes, before a session reports them.

const STORED = { outcome: 1, fence: 4, counts: true, maybeStored: false };

async function begun() {
  const { client, streams } = played({ nearCache: { maxBytes: 100_000 } });
  const first = client.fetch(callOf('first'));
  const stream = streams[0] as PlayedStream;
  stream.welcome('resume');
  answer(stream, 'v', await stream.next());
  await first;
  return { client, stream };
}

function answer(stream: PlayedStream, text: string, { id }: { readonly id: number }): void {
  const hit = {
    payload: { $case: 'value' as const, value: Buffer.from(text) },
    ...{ freshness: Freshness.FRESHNESS_FRESH, freshForMs: 60_000, fence: 1, rebuilding: false },
    tags: { names: [] },
  };
  const outcome = { $case: 'hit' as const, value: hit };
  stream.reply(id, { $case: 'getOrLock', value: { degraded: 1, outcome } });
}

/** Up to its publish. */
async function refresh({ client, stream }: Awaited<ReturnType<typeof begun>>) {
  const refreshed = client.fetch(callOf('k', 'new', { refresh: true }));
  stream.reply((await stream.next()).id, { $case: 'getOrLock', value: lease('t') });
  const { id, request } = await stream.next();
  expect(request?.$case).toBe('publish');
  return { refreshed, id };
}

it.each([
  ['was stored', { $case: 'publish', value: STORED }],
  ['had no answer', { $case: 'error', value: { code: 14, message: 'gone', retryAfterMs: undefined } }],
] as const)('drops its copy if a publish %s', async (_what, ended) => {
  const its = await begun();
  const { client, stream } = its;
  const old = client.fetch(callOf('k'));
  answer(stream, 'old', await stream.next());
  await old;
  expect(String(client.near('', 'k', {}))).toBe('old');
  const { refreshed, id } = await refresh(its);
  stream.reply(id, ended);
  expect(String((await refreshed).bytes)).toBe('new');
  expect(client.near('', 'k', {})).toBeUndefined();
});

it('joins no request from before a publish', async () => {
  const its = await begun();
  const { client, stream } = its;
  const before = client.fetch(callOf('k'));
  const earlier = await stream.next();
  const { refreshed, id } = await refresh(its);
  stream.reply(id, { $case: 'publish', value: STORED });
  await refreshed;
  const after = client.fetch(callOf('k'));
  answer(stream, 'new', await stream.next());
  answer(stream, 'old', earlier);
  expect([String((await before).bytes), String((await after).bytes)]).toEqual(['old', 'new']);
  expect(client.near('', 'k', {})?.toString()).toBe('new');
});
