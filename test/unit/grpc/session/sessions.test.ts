import { EventEmitter } from 'node:events';
import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import type { Guard, Visitor } from '../../../../src/access/guard.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import { defaultPolicy } from '../../../../src/coordination/words/policy.js';
import type { Domain, Edge } from '../../../../src/grpc/answer.js';
import {
  SessionHello,
  type SessionRequest,
  type SessionResponse,
} from '../../../../src/grpc/generated/dibs/v1/coordinator.js';
import { type SessionStream, Sessions } from '../../../../src/grpc/session/sessions.js';
import { Turns } from '../../../../src/grpc/turns.js';
import { SystemClock } from '../../../../src/system-clock.js';
import { ChaosWakeChannel } from '../../../support/chaos-wake-channel.js';
import { LIMITS } from '../../../support/coordination-trial.js';
import { settled } from '../../../support/settled.js';
import { until } from '../../../support/until.js';

/** The client's end of a stream. */
class Stream extends EventEmitter {
  readonly getPeer = () => '127.0.0.1';
  readonly metadata = new Metadata();
  readonly messages: SessionResponse[] = [];
  ended = false;
  failure: StatusObject | undefined;

  constructor() {
    super();
    this.on('error', (failure: StatusObject) => {
      this.failure = failure;
    });
  }

  write(message: SessionResponse): boolean {
    this.messages.push(message);
    return true;
  }

  end(): void {
    this.ended = true;
  }

  say(message: Partial<SessionRequest>): void {
    this.emit('data', { ok: true, message: { hello: undefined, calls: [], cancelledIds: [], ...message } });
  }

  get events() {
    return this.messages.flatMap(({ events }) => events.map(({ event }) => event));
  }
}

function trial(guard?: Guard) {
  const wakes = new ChaosWakeChannel();
  const edge: Edge = {
    ...{
      coordinator: {} as Domain,
      limits: LIMITS,
      policyOf: () => defaultPolicy(LIMITS),
      holder: '',
      session: undefined,
    },
    ...{ guard, tracing: undefined, pace: () => {}, unexpected: () => {}, failed: () => {} },
  };
  const parts = { turns: new Turns(), clock: new SystemClock(), graceMs: 0, ageMs: 60_000 };
  const sessions = new Sessions({ edge, wakes, ...parts });
  const open = () => {
    const stream = new Stream();
    sessions.serve(stream as unknown as SessionStream);
    return stream;
  };
  return { wakes, sessions, open };
}

/** Messages that the sessions send in this turn are written before it ends. */
const endOfTurn = () => new Promise((resolve) => setImmediate(resolve));

describe('a stream', () => {
  it('begins with one hello', () => {
    const { open } = trial();
    const silent = open();
    silent.say({});
    expect(silent.failure).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/^hello: /),
    });
    const twice = open();
    twice.say({ hello: SessionHello.fromPartial({}) });
    expect(twice.messages[0]?.welcome).toMatchObject({ resumed: false });
    twice.say({ hello: SessionHello.fromPartial({}) });
    expect(twice.failure).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/^hello: /),
    });
  });

  it('receives changes in the namespaces that it watches, and no others', async () => {
    const { open, wakes } = trial();
    const stream = open();
    stream.say({ hello: SessionHello.fromPartial({ watchedNamespaces: ['watched'] }) });
    for (const namespace of ['watched', 'other']) {
      wakes.publish({ id: keyOf(namespace, 'k').id, kind: 'published', fence: 1 });
    }
    await settled();
    expect(stream.events).toMatchObject([
      { $case: 'invalidated', value: { namespace: 'watched', keys: ['k'], all: false } },
    ]);
  });

  it('receives one event for each watched namespace when the channel is lost, whatever others watch', async () => {
    const { open, wakes } = trial();
    const streams = Array.from({ length: 300 }, (_, at) => {
      const stream = open();
      const watchedNamespaces = Array.from({ length: 16 }, (_, n) => `${at}-${n}`);
      stream.say({ hello: SessionHello.fromPartial({ watchedNamespaces }) });
      return { stream, watchedNamespaces };
    });
    await endOfTurn();
    const before = streams.map(({ stream }) => stream.messages.length);
    wakes.lose();
    await endOfTurn();
    for (const [at, { stream, watchedNamespaces }] of streams.entries()) {
      expect(stream.messages.length - (before[at] ?? 0)).toBe(1);
      const told = stream.events.map((event) => event?.$case === 'invalidated' && event.value);
      expect(told).toEqual(
        watchedNamespaces.map((namespace) => ({ namespace, keys: [], tags: [], all: true })),
      );
    }
  });

  it('gets one `draining` when its credentials are removed, at its next message at the latest', async () => {
    const visitor = { identity: 'me', isKnown: true };
    const guard = { admit: (): Visitor => visitor, allow: () => {}, may: () => true } as unknown as Guard;
    const { open, sessions } = trial(guard);
    const stream = open();
    stream.say({ hello: SessionHello.fromPartial({}) });
    stream.say({ cancelledIds: [3] });
    await settled();
    expect(stream.events).toEqual([]);
    visitor.isKnown = false;
    for (const id of [1, 2]) stream.say({ cancelledIds: [id] });
    await settled();
    expect(stream.events.map((event) => event?.$case)).toEqual(['draining']);
    const stopping = sessions.stop();
    stream.emit('end');
    await stopping;
  });

  it('is told once that anything may change in a namespace that its identity may no longer read', async () => {
    let mayRead = true;
    const guard = { admit: () => ({ identity: 'me', isKnown: true }), allow: () => {}, may: () => mayRead };
    const { open, wakes, sessions } = trial(guard as unknown as Guard);
    const [stream, quiet] = [open(), open()];
    stream.say({ hello: SessionHello.fromPartial({ watchedNamespaces: ['a'] }) });
    quiet.say({ hello: SessionHello.fromPartial({ watchedNamespaces: ['b'] }) });
    const change = async () => {
      wakes.publish({ id: keyOf('a', 'k').id, kind: 'published', fence: 1 });
      await settled();
    };
    const told = ({ events }: Stream) =>
      events.flatMap((event) => (event?.$case === 'invalidated' ? [event.value] : []));
    mayRead = false;
    for (const _ of [1, 2]) await change();
    expect(told(stream)).toMatchObject([{ namespace: 'a', keys: [], all: true }]);
    // Nothing changes in the other one. The next beat says the same.
    await until(() => quiet.events.filter((event) => event?.$case === 'beat').length > 1);
    expect(told(quiet)).toMatchObject([{ namespace: 'b', keys: [], all: true }]);
    mayRead = true;
    await change();
    expect(told(stream)).toMatchObject([{ all: true }, { namespace: 'a', keys: ['k'], all: false }]);
    const stopping = sessions.stop();
    for (const one of [stream, quiet]) one.emit('end');
    await stopping;
  });

  it('gets `draining` from a drain, is ended by a stop, and is refused after it', async () => {
    const { open, sessions } = trial();
    const stream = open();
    stream.say({ hello: SessionHello.fromPartial({}) });
    sessions.drain();
    await settled();
    expect(stream.events.map((event) => event?.$case)).toEqual(['draining']);
    const stopping = sessions.stop();
    // Its client has left.
    stream.emit('end');
    await stopping;
    expect(stream.ended).toBe(true);
    expect(open().failure).toMatchObject({ code: status.UNAVAILABLE });
  });
});
