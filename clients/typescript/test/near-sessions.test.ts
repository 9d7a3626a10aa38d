import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { inRounds } from '../../../test/support/rounds.js';
import { Changes } from '../src/changes.js';
import { DibsClient } from '../src/client.js';
import { SYSTEM_CLOCK } from '../src/clock.js';
import type { ChannelLink } from '../src/link.js';
import type { SessionEvents } from '../src/session-pool.js';
import { SessionTransport } from '../src/session-transport.js';
import { hit } from './fake-service.js';
import { callOf, played } from './played-service.js';
import { bytes, freshKey, raw, Service } from './service.js';

// What the end of a session means for near entries.

const ttlMs = 60_000;
const maxBytes = 100_000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function freshHit(text: string) {
  const answer = hit(text);
  if (answer.outcome?.$case === 'hit') answer.outcome.value.freshForMs = ttlMs;
  return answer;
}

describe('a near cache', () => {
  let service: Service;
  let client: DibsClient;
  const sources: string[] = [];
  beforeEach(async () => {
    service = await Service.start();
    sources.length = 0;
  });
  afterEach(async () => {
    client.close();
    await service.stop();
  });

  /** Reads a key for a while. Resolves to how often the service was asked. */
  async function asksWithin(ms: number): Promise<number> {
    const key = freshKey();
    await client.getOrRebuild(key, () => bytes('v'), { codec: raw, ttlMs });
    await vi.waitFor(async () => {
      await client.get(key, { codec: raw });
      expect(sources.at(-1)).toBe('near');
    });
    sources.length = 0;
    const untilMs = performance.now() + ms;
    for (; performance.now() < untilMs; await pause(5)) await client.get(key, { codec: raw });
    return sources.filter((source) => source !== 'near').length;
  }

  const clientOf = (target: string) =>
    new DibsClient({
      target,
      nearCache: { maxBytes },
      hooks: { onHit: ({ source }) => void sources.push(source) },
    });

  it('serves values as long as beats arrive', () =>
    // On a busy machine, beats may be late.
    inRounds([1, 2, 3], async () => {
      client?.close();
      client = clientOf(service.target);
      expect(await asksWithin(3_300)).toBe(0);
    }));

  it('is not emptied again and again while nothing listens at one of two addresses', async () => {
    client = clientOf(`ipv4:${service.target},127.0.0.1:1`);
    const leave = vi.spyOn(SessionTransport.prototype, 'leave');
    expect(await asksWithin(1_000)).toBe(0);
    // It looked for another replica, and found the same one.
    await vi.waitFor(() => expect(leave.mock.calls.length).toBeGreaterThan(3));
    leave.mockRestore();
  });
});

describe('the end of a session', () => {
  /** A session over a stream that only this test writes to. */
  function over(events?: SessionEvents) {
    const stream = Object.assign(new EventEmitter(), {
      write: () => true,
      end: () => {},
      getPeer: () => 'a',
    });
    const link = { connecting: { underWay: () => undefined }, session: () => stream };
    const changes = new Changes(['default']);
    const missed = vi.fn();
    changes.tell({ changed: () => {}, missed });
    const options = {
      clock: SYSTEM_CLOCK,
      connectMs: 1_000,
      holder: '',
      leaseLost: () => {},
      changes,
      events,
    };
    const session = new SessionTransport(link as unknown as ChannelLink, options);
    session.open();
    const welcome = () => stream.emit('data', { welcome: { resumeToken: '' }, replies: [], events: [] });
    const end = () => {
      stream.emit('error', Object.assign(new Error('gone'), { code: 14, details: 'gone' }));
      stream.emit('end');
    };
    return { session, missed, welcome, end };
  }
  const call = (session: SessionTransport) =>
    session.extend({ namespace: '', key: 'k', token: 't', leaseMs: undefined }, { deadlineMs: 1_000 });

  it.each([
    ['has not opened', false, false],
    ['has had no call', true, false],
    ['has had calls', true, true],
  ])('that %s drops what may have come over it, once', async (_what, opens, isUsed) => {
    const { session, missed, welcome, end } = over();
    if (opens) welcome();
    const called = isUsed ? call(session) : undefined;
    end();
    await called?.catch(() => {});
    expect(missed).toHaveBeenCalledTimes(isUsed ? 1 : 0);
  });

  it('drops everything when it leaves, and again when its stream ends later', async () => {
    const { session, missed, welcome, end } = over();
    welcome();
    const called = call(session);
    session.leave();
    expect(missed).toHaveBeenCalledTimes(1);
    end();
    await called.catch(() => {});
    expect(missed).toHaveBeenCalledTimes(2);
  });

  it('is reported once, and a welcome that lay unread does not open it again', () => {
    const events = { opened: vi.fn(), broken: vi.fn() };
    const { welcome, end } = over(events);
    end();
    welcome();
    expect(events.broken).toHaveBeenCalledTimes(1);
    expect(events.opened).not.toHaveBeenCalled();
  });
});

/** A client whose session has filled the near cache with `k`, and broke. No other session can be opened. */
async function brokenOff() {
  const { client, streams, service } = played({ nearCache: { maxBytes }, serveNearWhenUnavailable: true });
  const old = client.fetch(callOf('k'));
  const stream = await vi.waitFor(() => streams[0] ?? Promise.reject(new Error('there is none yet')));
  stream.welcome('first');
  stream.reply((await stream.next()).id, { $case: 'getOrLock', value: freshHit('old') });
  expect(String((await old).bytes)).toBe('old');
  service.breaksStreams = true;
  const get = async (key: string) => {
    const rebuild = () => Promise.reject(new Error('there is no lease'));
    const { of } = client.fetchMany({ ...callOf(key), keys: [key], rebuild });
    return String((await of.get(key))?.bytes);
  };
  return { client, stream, service, get };
}

it('leaves near values until the service answers, also if that is without a session', async () => {
  const { stream, service, get } = await brokenOff();
  service.isAway = true;
  stream.breakOff();
  expect(await get('k')).toBe('old');
  service.isAway = false;
  expect(await get('another')).toBe('unary');
  service.isAway = true;
  await expect(get('k')).rejects.toThrow('gone');
});

it.each(['one key', 'many keys'])(
  'leaves nothing older than an answer without a session, to %s',
  async (call) => {
    const { client, stream, service, get } = await brokenOff();
    service.answersOne = true;
    stream.breakOff();
    if (call === 'one key') expect(String((await client.fetch(callOf('k'))).bytes)).toBe('unary');
    else expect(await get('k')).toBe('unary');
    service.isAway = true;
    await expect(get('k')).rejects.toThrow('gone');
  },
);
