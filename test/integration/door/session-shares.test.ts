import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SessionHello, SessionRequest } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { AUTH_FILE, namespace } from '../../support/access-trial.js';
import { Beside, isServed } from '../../support/beside.js';
import { Http2Connection } from '../../support/http2-connection.js';
import { Replica } from '../../support/replica.js';

// One identity opens as many sessions as it can, from several addresses. Set DIBS_TEST_MAIN to measure another build.

const MAIN = process.env.DIBS_TEST_MAIN ?? 'dist/main.js';
/** The bound of a replica. The other client has one session. */
const SESSIONS_MAX = 10_000;
/** A connection accepts at most 500 open calls. */
const PER_CONNECTION = 400;
const REFUSED = String(status.RESOURCE_EXHAUSTED);

const message = SessionRequest.encode(SessionRequest.fromPartial({ hello: SessionHello.fromPartial({}) }));
const body = Buffer.from(message.finish());
const head = Buffer.alloc(5);
head.writeUInt32BE(body.byteLength, 1);
const hello = Buffer.concat([head, body]);

const folder = mkdtempSync(join(tmpdir(), 'dibs-session-shares-'));
const connections: Http2Connection[] = [];
let replica: Replica;
let beside: Beside;
beforeAll(async () => {
  const file = join(folder, 'auth.yaml');
  writeFileSync(file, AUTH_FILE);
  replica = await Replica.start({ DIBS_AUTH_FILE: file }, MAIN);
  beside = await Beside.start(replica, { token: 'checkout' }, namespace);
});
afterAll(async () => {
  beside?.close();
  await Promise.all(connections.map((http2) => http2.end()));
  await replica?.kill();
  rmSync(folder, { recursive: true });
});

/** Opens a session and keeps it open. Returns `open` once it was welcomed, otherwise the status. */
function openSession(http2: Http2Connection, token: string): Promise<string> {
  const stream = http2.call('/dibs.v1.CoordinatorService/Session', { authorization: `Bearer ${token}` });
  stream.write(hello);
  return new Promise((resolve) => {
    const done = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] !== undefined) resolve(String(headers['grpc-status']));
    };
    stream.on('response', done);
    stream.on('trailers', done);
    stream.once('data', () => resolve('open'));
    stream.on('close', () => resolve(`closed ${stream.rstCode}`));
  });
}

/** Opens `count` sessions from an address. Returns how many were opened, and how the others ended. */
async function openFrom(address: string, token: string, count: number) {
  const ends = new Map<string, number>();
  for (let left = count; left > 0; left -= PER_CONNECTION) {
    const http2 = new Http2Connection(replica.target, address);
    connections.push(http2);
    // Before its first caller is known, a connection can have 100 calls.
    const first = await openSession(http2, token);
    const rest = Array.from({ length: Math.min(left, PER_CONNECTION) - 1 }, () => openSession(http2, token));
    for (const end of [first, ...(await Promise.all(rest))]) ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  return ends;
}

it('one identity gets half of the sessions from all of its addresses, and others still get theirs', async () => {
  let opened = 0;
  const seen = await beside.during('5,200 sessions of one identity', async () => {
    for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5']) {
      const ends = await openFrom(address, 'search', 1_300);
      expect([...ends.keys()].filter((end) => end !== 'open' && end !== REFUSED)).toEqual([]);
      opened += ends.get('open') ?? 0;
    }
  });
  console.log(`sessions of one identity: ${opened}`);
  // As many as are still free: the identity has 4,999, the other client has one, and 5,000 are free.
  expect(opened).toBe(SESSIONS_MAX / 2 - 1);
  expect(seen).toSatisfy(isServed);
  // The bound is the identity's: a new address does not help it, and another identity can use the same address.
  expect(await openFrom('127.0.0.6', 'search', 1)).toEqual(new Map([[REFUSED, 1]]));
  expect(await openFrom('127.0.0.5', 'checkout', 1)).toEqual(new Map([['open', 1]]));

  // Closed sessions are available again.
  await connections[0]?.end();
  await expect
    .poll(async () => (await openFrom('127.0.0.6', 'search', 1)).get('open'), { timeout: 60_000 })
    .toBe(1);
});
