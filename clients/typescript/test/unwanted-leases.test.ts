import { EventEmitter } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { SYSTEM_CLOCK } from '../src/clock.js';
import {
  GetOrLockManyRequest,
  type GetOrLockManyResponse,
  SessionRequest,
  type SessionResponse,
} from '../src/generated/dibs/v1/coordinator.js';
import type { ChannelLink } from '../src/link.js';
import { SessionTransport } from '../src/session-transport.js';
import { lease } from './fake-service.js';
import { freshKey, Service } from './service.js';

// Leases of many keys that their caller does not take: it has left the loop.

describe('a caller that leaves the loop over many keys', () => {
  it('holds no leases of the keys that it has not taken', async () => {
    const service = await Service.start();
    const client = service.client();
    const keys = Array.from({ length: 50 }, freshKey);
    for await (const { key } of client.getOrLockMany({ keys })) {
      expect(key).toBe(keys[0]);
      break;
    }
    const held = async () => {
      const leases = await Promise.all(keys.map(async (key) => (await client.explain(key)).lease));
      return keys.filter((_, at) => leases[at] !== undefined);
    };
    await vi.waitFor(async () => expect(await held()).toEqual([keys[0]]));
    await service.stop();
  });

  it('releases those whose answers come afterwards, each once', async () => {
    const sent: SessionRequest[] = [];
    const write = (message: Buffer) => sent.push(SessionRequest.decode(message)) > 0;
    const stream = Object.assign(new EventEmitter(), { write, destroyed: false });
    const link = { connecting: { underWay: () => undefined }, session: () => stream };
    const options = { clock: SYSTEM_CLOCK, connectMs: 60_000, holder: '', leaseLost: () => {} };
    const session = new SessionTransport(link as unknown as ChannelLink, options);
    const requests = () => sent.flatMap(({ calls }) => calls.map(({ request }) => request));
    const hear = (message: Partial<SessionResponse>) =>
      stream.emit('data', { welcome: undefined, replies: [], events: [], ...message });
    const answer = (key: string, more: boolean) => {
      const value: GetOrLockManyResponse = { key, result: { $case: 'response', value: lease(`of ${key}`) } };
      hear({ replies: [{ id: 1, more, response: { $case: 'getOrLockMany', value } }] });
    };
    const loop = session.getOrLockMany(
      GetOrLockManyRequest.fromPartial({ namespace: 'n', keys: ['a', 'b', 'c'] }),
      { deadlineMs: 60_000 },
    );
    const answers = loop[Symbol.asyncIterator]();
    const first = answers.next();
    hear({ welcome: { resumeToken: '' } as SessionResponse['welcome'] });
    await vi.waitFor(() => expect(requests()).toHaveLength(1));
    answer('a', true);
    expect((await first).value.key).toBe('a');
    await answers.return?.();
    await vi.waitFor(() => expect(sent.flatMap(({ cancelledIds }) => cancelledIds)).toEqual([1]));
    answer('b', true);
    answer('c', false);
    const released = () =>
      requests().flatMap((request) => (request?.$case === 'release' ? [request.value] : []));
    await vi.waitFor(() => expect(released()).toHaveLength(2));
    expect(released()).toMatchObject([
      { namespace: 'n', key: 'b', token: 'of b' },
      { namespace: 'n', key: 'c', token: 'of c' },
    ]);
  });
});
