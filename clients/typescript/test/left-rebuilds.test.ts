import { describe, expect, it, vi } from 'vitest';
import { lease } from './fake-service.js';
import { callOf, type PlayedStream, played } from './played-service.js';
import { deferred } from './service.js';

// A rebuild that another caller joined after its lease came, and whose lease is lost.

async function joined() {
  const { client, streams } = played();
  const left = new AbortController();
  const begun = deferred();
  const first = client.fetch({
    ...callOf('k', '', { signal: left.signal }),
    rebuild: ({ signal }) => {
      begun.resolve();
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          if (!left.signal.aborted) reject(signal.reason);
        });
      });
    },
  });
  first.catch(() => {});
  const [stream] = streams as [PlayedStream];
  stream.welcome('resume');
  stream.reply((await stream.next()).id, { $case: 'getOrLock', value: lease('t', 60_000) });
  await begun.promise;
  client.fetch(callOf('k')).catch(() => {});
  const lose = () => {
    const value = { namespace: 'default', key: 'k', token: 't', end: 0 };
    stream.hear({ events: [{ event: { $case: 'leaseLost', value } }] });
  };
  return { left, stream, lose };
}

describe('a caller that joined a rebuild and asks for itself', () => {
  it('keeps no request of the first caller alive, when that leaves later', async () => {
    const { left, stream, lose } = await joined();
    lose();
    const both = [(await stream.next()).id, (await stream.next()).id];
    left.abort();
    await vi.waitFor(() => expect(stream.cancelledIds).toHaveLength(1));
    expect(both).toContain(stream.cancelledIds[0]);
  });

  it('is the only one that asks, when the first caller has left before', async () => {
    const { left, stream, lose } = await joined();
    left.abort();
    lose();
    const { id } = await stream.next();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const asked = stream.sent.flatMap(({ calls }) => calls.map((call) => call.id));
    expect(asked.filter((other) => other >= id && !stream.cancelledIds.includes(other))).toEqual([id]);
  });
});
