import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUTH_FILE, namespace } from '../../support/access-trial.js';
import { Beside, isServed } from '../../support/beside.js';
import { endOf, Http2Connection } from '../../support/http2-connection.js';
import { callHeaders } from '../../support/http2-frames.mjs';
import { RawHttp2 } from '../../support/raw-http2.js';
import { Replica } from '../../support/replica.js';
import { until } from '../../support/until.js';

// What callers without a token can do to others. Set DIBS_TEST_MAIN to measure another build.

const MAIN = process.env.DIBS_TEST_MAIN ?? 'dist/main.js';
const GET_OR_LOCK = '/dibs.v1.CoordinatorService/GetOrLock';
const FRAMED = Buffer.from('\0\0\0\0\x0a\x0a\x04shop\x12\x02aa', 'latin1');

const folder = mkdtempSync(join(tmpdir(), 'dibs-door-'));
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
  await replica?.kill();
  rmSync(folder, { recursive: true });
});

/** Sends these bytes as one call. Returns how it ended: a status, or why there is none. */
async function send(http2: Http2Connection, bytes: Buffer, headers = {}): Promise<string> {
  if (!http2.isOpen) return 'connection closed';
  const stream = http2.call(GET_OR_LOCK, headers);
  const ended = endOf(stream);
  stream.end(bytes);
  return ended;
}

describe('a caller without a token', () => {
  it('sends nothing that the replica inflates or decodes', async () => {
    const numbers = gzipSync(Buffer.alloc(1_050_000, Buffer.of(0x18, 1)));
    const head = Buffer.alloc(5);
    head.writeUInt8(1, 0);
    head.writeUInt32BE(numbers.byteLength, 1);
    const bomb = Buffer.concat([head, numbers]);
    const ended = new Set<string>();
    const seen = await beside.during('36 kB/s of compressed numbers', async () => {
      const http2 = new Http2Connection(replica.target);
      const calls: Promise<unknown>[] = [];
      for (let at = 0; at < 100; at += 1) {
        calls.push(send(http2, bomb, { 'grpc-encoding': 'gzip' }).then((it) => ended.add(it)));
        await sleep(30);
      }
      await Promise.all(calls);
      await http2.end();
    });
    expect(seen).toSatisfy(isServed);
    expect(ended).toEqual(new Set([String(status.UNIMPLEMENTED)]));
  });

  it('can have 100 concurrent calls on a connection, and a known client many more', async () => {
    const http2 = new Http2Connection(replica.target);
    const before = await new Promise<number | undefined>((resolve) =>
      http2.session.once('remoteSettings', (it) => resolve(it.maxConcurrentStreams)),
    );
    expect(before).toBe(100);
    await send(http2, FRAMED);
    const changed = new Promise<number | undefined>((resolve) =>
      http2.session.once('remoteSettings', (it) => resolve(it.maxConcurrentStreams)),
    );
    void send(http2, FRAMED, { authorization: 'Bearer checkout' });
    expect(await changed).toBe(21_000);
    await http2.end();
  });
});

it('two tokens in one call are no identity', async () => {
  const raw = new RawHttp2(replica.target);
  const token = ['authorization', 'Bearer checkout'] as const;
  const log = replica.log.length;
  raw.headers(1, callHeaders(GET_OR_LOCK, token, token));
  raw.data(1, FRAMED);
  // The status 16, as a literal header.
  await until(() => raw.headerBytes.includes('16'));
  await until(() => replica.log.length > log || replica.log.includes('audit: authentication failed'));
  raw.end();
});
