import { describe, expect, it, vi } from 'vitest';
import { type Flight, Flights, type FlightTerms } from '../src/flights.js';
import { deferred } from './service.js';

// When a call of this process can join another one that is under way.

const turn = () => new Promise((resolve) => setImmediate(resolve));
const change = (over: object) => ({ namespace: 'default', keys: [], tags: [], all: false, ...over });

/** The flights of one key. `isWatched`: a session reports changes. */
function place(isWatched = false) {
  const watched = { now: isWatched };
  const flights = new Flights<string>(() => watched.now);
  const begun: { flight: Flight<string>; answer: ReturnType<typeof deferred<string>> }[] = [];
  const call = (over: Partial<FlightTerms> = {}) => {
    const terms = { id: 'k', namespace: '', key: 'k', signal: undefined, untilMs: 1e12, ...over };
    const start = (flight: Flight<string>) => {
      const answer = deferred<string>();
      begun.push({ flight, answer });
      return answer.promise;
    };
    return flights.join(terms, start, () => {});
  };
  return { flights, watched, begun, call };
}

describe('a call under way', () => {
  it('is joined by calls of the same turn, before it is sent', async () => {
    const { begun, call } = place();
    const both = [call(), call()];
    begun[0]?.answer.resolve('one');
    expect(await Promise.all(both)).toEqual(['one', 'one']);
    expect(begun).toHaveLength(1);
  });

  it('is not joined after that if changes are not reported', async () => {
    const { begun, call } = place();
    void call();
    await turn();
    void call();
    expect(begun).toHaveLength(2);
  });

  it('is joined later too if changes are reported, and none has arrived', async () => {
    const { begun, call, watched } = place(true);
    void call();
    await turn();
    void call();
    expect(begun).toHaveLength(1);
    watched.now = false;
    void call();
    expect(begun).toHaveLength(2);
  });

  it.each([
    ['its key', change({ keys: ['other', 'k'] }), 2],
    ['a tag', change({ tags: ['any'] }), 2],
    ['everything', change({ all: true }), 2],
    ['another key', change({ keys: ['other'] }), 1],
    ['another namespace', change({ namespace: 'other', all: true }), 1],
  ])('is closed to newcomers by a change that concerns it: %s', async (_what, by, count) => {
    for (const later of [false, true]) {
      const { flights, begun, call } = place(true);
      void call();
      if (later) await turn();
      flights.changed(by);
      void call();
      expect(begun).toHaveLength(count);
    }
  });

  it.each(['missed', 'began'] as const)('is closed when changes may have been missed: %s', async (what) => {
    const { flights, begun, call } = place(true);
    void call();
    await turn();
    flights[what]();
    void call();
    expect(begun).toHaveLength(2);
  });

  it('does not remove a newer one when it ends', async () => {
    const { flights, begun, call } = place(true);
    const old = call();
    flights.changed(change({ all: true }));
    void call();
    begun[0]?.answer.resolve('old');
    await old;
    void call();
    expect(begun).toHaveLength(2);
  });
});

describe('a caller that has joined', () => {
  it('keeps its own wait once this process rebuilds, and the first caller keeps its rebuild', async () => {
    const { begun, call } = place();
    const untilMs = performance.now() + 40;
    const [first, joined] = [call({ untilMs }), call({ untilMs })];
    begun[0]?.flight.leased();
    await expect(joined).rejects.toMatchObject({ reason: 'wait_ended', retryAfterMs: expect.any(Number) });
    begun[0]?.answer.resolve('rebuilt');
    expect(await first).toBe('rebuilt');
  });

  it('without a wait gets its answer at once', async () => {
    const { begun, call } = place();
    const untilMs = performance.now();
    void call({ untilMs });
    const joined = call({ untilMs });
    begun[0]?.flight.leased();
    await expect(joined).rejects.toMatchObject({ reason: 'wait_ended' });
  });

  it('is answered by the service until the service gives a lease', async () => {
    const { begun, call } = place();
    const untilMs = performance.now();
    void call({ untilMs });
    const joined = call({ untilMs });
    await new Promise((resolve) => setTimeout(resolve, 20));
    begun[0]?.answer.resolve('theirs');
    expect(await joined).toBe('theirs');
  });

  it('leaves at the end of its own wait if the call waits longer', async () => {
    const { begun, call } = place();
    const first = call({ untilMs: performance.now() + 60_000 });
    const joined = call({ untilMs: performance.now() + 20 });
    await expect(joined).rejects.toMatchObject({ reason: 'wait_ended' });
    begun[0]?.answer.resolve('theirs');
    expect(await first).toBe('theirs');
  });

  it('leaves by its own signal, and the call ends when all have left', async () => {
    const { begun, call } = place();
    const [one, two] = [new AbortController(), new AbortController()];
    const calls = [call({ signal: one.signal }), call({ signal: two.signal })];
    const { signal } = begun[0]?.flight.callers ?? {};
    one.abort(new Error('first left'));
    await expect(calls[0]).rejects.toThrow('first left');
    expect(signal?.aborted).toBe(false);
    two.abort(new Error('second left'));
    await expect(calls[1]).rejects.toThrow('second left');
    expect(signal?.aborted).toBe(true);
    const late = vi.fn();
    void call().then(late);
    expect(begun).toHaveLength(2);
  });
});
