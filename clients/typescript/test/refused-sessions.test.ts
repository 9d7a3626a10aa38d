import { describe, expect, it, vi } from 'vitest';
import { DibsError } from '../src/errors.js';
import type { ManyCall } from '../src/many-fetch.js';
import { NoSession } from '../src/no-session.js';
import { SessionOrUnary } from '../src/session-or-unary.js';
import { hit } from './fake-service.js';
import { callOf, type PlayedStream, played } from './played-service.js';

// Sessions whose token is known no more.

const texts = (of: ReadonlyMap<string, Promise<{ bytes: Uint8Array | null }>>) =>
  Promise.all([...of.values()].map(async (one) => String((await one).bytes)));

function sessionsOf(streams: readonly PlayedStream[]) {
  return (at: number) =>
    vi.waitFor(() => {
      expect(streams.length).toBeGreaterThan(at);
      return streams[at] as PlayedStream;
    });
}

function manyOf(keys: readonly string[]): ManyCall {
  return {
    ...{ namespace: '', keys, options: { ttlMs: 60_000 }, onUnavailable: 'fail' },
    rebuild: () => Promise.reject(new Error('there is no lease')),
  };
}

it('leave the next session its leases, when a late refusal comes', async () => {
  const { client, streams } = played();
  const ask = (key: string) => void client.fetch(callOf(key)).catch(() => {});
  const session = sessionsOf(streams);
  for (const key of ['one', 'late', 'open']) ask(key);
  const first = await session(0);
  first.welcome('first');
  const [one, late] = [await first.next(), await first.next()];
  first.refuse(one);
  ask('another');
  const second = await session(1);
  expect(second.resumes).toBe('');
  second.welcome('second');
  await second.next();
  first.refuse(late);
  second.breakOff();
  expect((await session(2)).resumes).toBe('second');
});

it('are followed by another one, also after a call for many keys', async () => {
  const { client, streams, unary } = played();
  const session = sessionsOf(streams);
  const { of } = client.fetchMany(manyOf(['a', 'b']));
  const first = await session(0);
  first.welcome('first');
  first.refuse(await first.next());
  expect(await texts(of)).toEqual(['unary', 'unary']);
  const next = client.fetch(callOf('next'));
  const second = await session(1);
  second.welcome('second');
  second.reply((await second.next()).id, { $case: 'getOrLock', value: hit('v') });
  expect(String((await next).bytes)).toBe('v');
  expect(unary).toEqual([]);
});

it('fail no call for many keys of several replicas', async () => {
  const { client, streams } = played({ keyAffinity: true }, ['one', 'two', 'two']);
  const session = sessionsOf(streams);
  const opening = client.fetch(callOf('first')).catch(() => {});
  const one = await session(0);
  one.welcome('one');
  one.reply((await one.next()).id, { $case: 'getOrLock', value: hit('v') });
  await opening;
  const two = await session(1);
  two.welcome('two');
  const keys = Array.from({ length: 40 }, (_, at) => `k${at}`);
  const answered = (async () => {
    const all: string[] = [];
    for await (const { key } of client.calls.getOrLockMany({ keys })) all.push(key);
    return all;
  })();
  answered.catch(() => {});
  two.refuse(await two.next());
  one.replyMany(await one.next(), () => hit('one'));
  const again = await session(2);
  again.welcome('again');
  again.replyMany(await again.next(), () => hit('two'));
  expect((await answered).sort()).toEqual(keys.sort());
});

describe('calls one by one', () => {
  it('repeat a call for many keys only for those without an answer', async () => {
    const asked: string[][] = [];
    const answer = (key: string) => ({ key, result: undefined });
    const session = {
      close: () => {},
      async *getOrLockMany() {
        yield answer('a');
        throw new DibsError('UNAUTHENTICATED', 'the token was replaced', undefined, {
          cause: new NoSession('refused'),
        });
      },
    };
    const unary = {
      close: () => {},
      async *getOrLockMany({ keys }: { keys: string[] }) {
        asked.push(keys);
        yield* keys.map(answer);
      },
    };
    const either = new SessionOrUnary(session as never, unary as never);
    const answered: string[] = [];
    for await (const { key } of either.getOrLockMany({ keys: ['a', 'b'] } as never, {} as never)) {
      answered.push(key);
    }
    either.close();
    expect(asked).toEqual([['b']]);
    expect(answered).toEqual(['a', 'b']);
  });
});
