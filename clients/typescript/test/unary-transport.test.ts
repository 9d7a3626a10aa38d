import { type Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  CoordinatorServiceService,
  type ExtendRequest,
  type ExtendResponse,
} from '../src/generated/dibs/v1/coordinator.js';
import { Link } from '../src/link.js';
import { UnaryTransport } from '../src/unary-transport.js';
import { CONNECT_MS } from './patience.js';

// What travels with the messages, seen from a server whose answers the test sets. The real service, which has its own
// suite, never gives most of these answers.

type Answer = (
  error: { code: number; details: string; metadata?: Metadata } | null,
  reply?: ExtendResponse,
) => void;

const REPLY: ExtendResponse = { outcome: 1, expiresInMs: 7 };
const REQUEST: ExtendRequest = { namespace: '', key: 'k', token: 't', leaseMs: undefined };
let server: Server;
let target: string;
let answer: (metadata: Metadata, done: Answer) => void;
let cancelled: number;

beforeEach(async () => {
  cancelled = 0;
  server = new Server();
  server.addService(
    { extend: CoordinatorServiceService.extend },
    {
      extend: (
        call: { metadata: Metadata; on(event: 'cancelled', heard: () => void): void },
        done: Answer,
      ) => {
        call.on('cancelled', () => {
          cancelled += 1;
        });
        answer(call.metadata, done);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  target = `127.0.0.1:${port}`;
});
afterEach(() => server.forceShutdown());

const transport = (token = '') =>
  new UnaryTransport(new Link({ target, token, tlsCa: '', connectMs: CONNECT_MS }));

describe('a unary call', () => {
  it('carries the token and the traceparent, and no such header without them', async () => {
    const seen: unknown[] = [];
    answer = (metadata, done) => {
      seen.push([metadata.get('authorization'), metadata.get('traceparent')]);
      done(null, REPLY);
    };
    const link = transport('secret');
    expect(await link.extend(REQUEST, { deadlineMs: 60_000, traceparent: '00-1-2-01' })).toEqual(REPLY);
    await transport().extend(REQUEST, { deadlineMs: 60_000 });
    expect(seen).toEqual([
      [['Bearer secret'], ['00-1-2-01']],
      [[], []],
    ]);
  });

  it.each([
    ['INVALID_ARGUMENT', undefined],
    ['UNAVAILABLE', undefined],
    ['UNAVAILABLE', 250],
    ['RESOURCE_EXHAUSTED', 0],
    ['PERMISSION_DENIED', undefined],
    ['UNAUTHENTICATED', undefined],
    ['INTERNAL', undefined],
    ['UNIMPLEMENTED', undefined],
  ] as const)('that ends with %s and a pushback of %s throws both', async (code, pushbackMs) => {
    answer = (metadata, done) => {
      const trailer = metadata.clone();
      if (pushbackMs !== undefined) trailer.set('grpc-retry-pushback-ms', String(pushbackMs));
      done({ code: status[code], details: 'key: it is wrong', metadata: trailer });
    };
    const error = await transport()
      .extend(REQUEST, { deadlineMs: 60_000 })
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      name: 'DibsError',
      code,
      message: 'key: it is wrong',
      retryAfterMs: pushbackMs,
    });
  });

  it('ends at its deadline when no answer comes', async () => {
    answer = () => {};
    await expect(transport().extend(REQUEST, { deadlineMs: 50 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
  });

  it('is cancelled at the server too when its caller leaves', async () => {
    const heard = vi.fn();
    answer = heard;
    const gone = new AbortController();
    const call = transport().extend(REQUEST, { deadlineMs: 60_000, signal: gone.signal });
    call.catch(() => {});
    await vi.waitFor(() => expect(heard).toHaveBeenCalled());
    gone.abort();
    await expect(call).rejects.toMatchObject({ code: 'CANCELLED' });
    await vi.waitFor(() => expect(cancelled).toBe(1));
  });

  it('fails at once if no server listens, and works again when one does', async () => {
    answer = (_metadata, done) => done(null, REPLY);
    const port = Number(target.split(':')[1]);
    const link = transport();
    await link.extend(REQUEST, { deadlineMs: 60_000 });
    server.forceShutdown();
    await vi.waitFor(() =>
      expect(link.extend(REQUEST, { deadlineMs: 60_000 })).rejects.toMatchObject({ code: 'UNAVAILABLE' }),
    );
    server = new Server();
    server.addService(
      { extend: CoordinatorServiceService.extend },
      { extend: (call: { metadata: Metadata }, done: Answer) => answer(call.metadata, done) },
    );
    await new Promise((resolve) =>
      server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), resolve),
    );
    await vi.waitFor(async () => expect(await link.extend(REQUEST, { deadlineMs: 60_000 })).toEqual(REPLY));
  });
});
