import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GetOrLockRequest } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../../support/caller.js';
import { TestAuthority } from '../../support/certificates.js';
import { callHeaders, frame, literal } from '../../support/http2-frames.mjs';
import { RawHttp2 } from '../../support/raw-http2.js';
import { Replica } from '../../support/replica.js';
import { until } from '../../support/until.js';
import { waitersOf } from '../../support/waiters.js';

// After a fault of its client, HTTP/2 abandons a connection without an event. It would stay open, with its calls, until
// a keepalive fails.

/** The silence that counts, two sweeps, and a margin for a busy machine. A keepalive fails after 80 s. */
const ENDS_WITHIN_MS = 60_000;
const [DATA, HEADERS, PING, CONTINUATION] = [0, 1, 6, 9] as const;
const [END_STREAM, END_HEADERS] = [1, 4] as const;

let replica: Replica;
let caller: Caller;
beforeAll(async () => {
  replica = await Replica.start();
  caller = new Caller(replica.target);
  await caller.lease({ key: 'held', leaseMs: 60_000 });
});
afterAll(async () => {
  caller?.close();
  await replica?.kill();
});

const block = Buffer.concat(
  callHeaders('/dibs.v1.CoordinatorService/GetOrLock').map(([name, value]) => literal(name, value)),
);

/** Opens a connection with a waiting call. */
function waiting(): RawHttp2 {
  const request = GetOrLockRequest.encode(
    GetOrLockRequest.fromPartial({ key: 'held', waitMs: 30_000 }),
  ).finish();
  const head = Buffer.alloc(5);
  head.writeUInt32BE(request.byteLength, 1);
  const raw = new RawHttp2(replica.target);
  raw.write(frame(HEADERS, END_HEADERS, 1, block));
  raw.write(frame(DATA, END_STREAM, 1, Buffer.concat([head, request])));
  return raw;
}

const faults: Readonly<Record<string, Buffer>> = {
  'data on a stream that was never opened': frame(DATA, 0, 5, Buffer.from('x')),
  'a continuation without headers': frame(CONTINUATION, END_HEADERS, 3, block),
  'a ping that is too short': frame(PING, 0, 0, Buffer.alloc(3)),
};

it.each(Object.entries(faults))('a connection and its waiting call end after %s', async (_, fault) => {
  const raw = waiting();
  await until(async () => (await waitersOf(replica.httpUrl)) === 1);
  raw.write(fault);
  await until(() => raw.goaway !== undefined);
  await until(() => raw.closed, ENDS_WITHIN_MS);
  await until(async () => (await waitersOf(replica.httpUrl)) === 0);
});

it('clients that only wait keep their connections, over TLS and on a Unix socket', async () => {
  const authority = new TestAuthority();
  const { cert, key } = authority.issue();
  const socket = `unix://${join(authority.dir, 'dibs.sock')}`;
  const listen = { DIBS_LISTEN: `127.0.0.1:0,${socket}`, DIBS_TLS_CERT: cert, DIBS_TLS_KEY: key };
  const other = await Replica.start(listen);
  const [, port] = /:(\d+),/.exec(other.target) ?? [];
  const callers = [new Caller(`localhost:${port}`, { tls: { ca: authority.ca } }), new Caller(socket)];
  await callers[0]?.lease({ key: 'held', leaseMs: 60_000 });
  // A call on an ended connection would be UNAVAILABLE.
  const waits = callers.map((one) => one.getOrLock({ key: 'held', waitMs: 6_000 }));
  for (const { outcome } of await Promise.all(waits)) expect(outcome?.$case).toBe('busy');
  for (const one of callers) one.close();
  await other.kill();
  authority.close();
});

it('a connection that only waits stays open, even if its client never answers', async () => {
  const raw = waiting();
  await until(async () => (await waitersOf(replica.httpUrl)) === 1);
  await sleep(6_000);
  expect(raw.closed).toBe(false);
  expect(await waitersOf(replica.httpUrl)).toBe(1);
  raw.end();
});
