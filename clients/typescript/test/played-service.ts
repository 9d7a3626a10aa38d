import { EventEmitter } from 'node:events';
import { vi } from 'vitest';
import { BytesClient } from '../src/bytes-client.js';
import { SYSTEM_CHANCE } from '../src/chance.js';
import { SYSTEM_CLOCK } from '../src/clock.js';
import type { FetchCall } from '../src/fetcher.js';
import {
  type GetOrLockManyRequest,
  type GetOrLockManyResponse,
  type GetOrLockResponse,
  type SessionCall,
  type SessionReply,
  SessionRequest,
  type SessionResponse,
} from '../src/generated/dibs/v1/coordinator.js';
import type { ChannelLink } from '../src/link.js';
import type { DibsClientOptions } from '../src/options.js';
import { hit } from './fake-service.js';

// A service whose every message a test plays, over any number of sessions. Of the unary calls, only those for many keys
// are answered, and those for one key if a test says so: with hits, unless a test takes the service away.

type Response = NonNullable<SessionReply['response']>;

export class PlayedStream extends EventEmitter {
  destroyed = false;
  writableEnded = false;
  readonly sent: SessionRequest[] = [];
  #taken = 0;

  constructor(private readonly peer: string) {
    super();
  }

  getPeer(): string {
    return this.peer;
  }

  write(message: Buffer): boolean {
    return this.sent.push(SessionRequest.decode(message)) > 0;
  }

  end(): void {
    this.writableEnded = true;
  }

  cancel(): void {
    this.destroyed = true;
  }

  get resumes(): string | undefined {
    return this.sent[0]?.hello?.resumeToken;
  }

  /** The next call, when it comes. */
  next(): Promise<SessionCall> {
    return vi.waitFor(() => {
      const call = this.sent.flatMap(({ calls }) => calls)[this.#taken];
      if (call === undefined) throw new Error('there is no further call');
      this.#taken += 1;
      return call;
    });
  }

  get cancelledIds(): number[] {
    return this.sent.flatMap(({ cancelledIds }) => cancelledIds);
  }

  hear(message: Partial<SessionResponse>): void {
    this.emit('data', { welcome: undefined, replies: [], events: [], ...message });
  }

  welcome(resumeToken: string): void {
    this.hear({ welcome: { resumeToken } as SessionResponse['welcome'] });
  }

  reply(id: number, response: Response, more = false): void {
    this.hear({ replies: [{ id, more, response }] });
  }

  /** Answers a call for many keys. */
  replyMany({ id, request }: SessionCall, response: (key: string) => GetOrLockResponse): void {
    const keys = request?.$case === 'getOrLockMany' ? request.value.keys : [];
    keys.forEach((key, at) => {
      const value = answerOf(key, response(key));
      this.reply(id, { $case: 'getOrLockMany', value }, at + 1 < keys.length);
    });
  }

  /** The token of the session is known no more. */
  refuse({ id }: SessionCall): void {
    const value = { code: 16, message: 'the token is known no more', retryAfterMs: undefined };
    this.reply(id, { $case: 'error', value });
  }

  breakOff(): void {
    this.destroyed = true;
    this.emit('error', Object.assign(new Error('gone'), { code: 14, details: 'gone' }));
  }
}

/** `peers` are the addresses that the sessions reach, in turn. */
export function played(options: DibsClientOptions = {}, peers: readonly string[] = ['one']) {
  const streams: PlayedStream[] = [];
  const unary: string[] = [];
  const service = { isAway: false, breaksStreams: false, answersOne: false };
  const called =
    (name: string) =>
    (...to: unknown[]) => {
      unary.push(name);
      void to;
      return { cancel: () => {} };
    };
  const getOrLock = (...to: unknown[]) => {
    const done = to.at(-1) as (error: null, response: GetOrLockResponse) => void;
    if (service.answersOne) setImmediate(() => done(null, hit('unary')));
    return called('getOrLock')(...to);
  };
  const getOrLockMany = (request: GetOrLockManyRequest) => manyHits(request, service);
  const names = ['publish', 'release', 'extend', 'invalidate', 'explain'] as const;
  const link = {
    stub: { ...Object.fromEntries(names.map((name) => [name, called(name)])), getOrLock, getOrLockMany },
    connecting: { underWay: () => undefined },
    metadata: () => undefined,
    deadlineAfter: () => 0,
    close: () => {},
    session: () => {
      const stream = new PlayedStream(peers[streams.length % peers.length] ?? '');
      streams.push(stream);
      if (service.breaksStreams) setImmediate(() => stream.breakOff());
      return stream;
    },
  };
  const client = new BytesClient(options, {
    ...{ clock: SYSTEM_CLOCK, chance: SYSTEM_CHANCE, warn: () => {} },
    linkOf: () => link as unknown as ChannelLink,
    countAddresses: async () => new Set(peers).size,
  });
  return { client, streams, unary, service };
}

function manyHits({ keys }: GetOrLockManyRequest, service: { readonly isAway: boolean }) {
  async function* answers() {
    if (service.isAway) throw Object.assign(new Error('gone'), { code: 14, details: 'gone' });
    for (const key of keys) yield answerOf(key, hit('unary'));
  }
  return Object.assign(answers(), { cancel: () => {} });
}

export function answerOf(key: string, response: GetOrLockResponse): GetOrLockManyResponse {
  return { key, result: { $case: 'response', value: response } };
}

/** A call of one key whose rebuild gives this text. */
export function callOf(key: string, text = 'own', options: Partial<FetchCall['options']> = {}): FetchCall {
  return {
    ...{ namespace: '', key, options: { ttlMs: 60_000, ...options }, onUnavailable: 'fail' },
    rebuild: async () => ({ bytes: Buffer.from(text), how: { store: true } }),
  };
}
