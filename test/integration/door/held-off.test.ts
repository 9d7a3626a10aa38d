import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import {
  Client,
  type ClientOptions,
  compressionAlgorithms,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { afterAll, afterEach, expect, it } from 'vitest';
import { GrpcServer, type GrpcServerOptions } from '../../../src/grpc/server.js';
import { TestAuthority } from '../../support/certificates.js';
import { endOf, Http2Connection } from '../../support/http2-connection.js';
import { channelOf, type ShownBy } from '../../support/shown-by.js';

// An address with too many refused calls gets few new connections, and their bytes are received in pieces. A client of
// the same address is still served on them. Here time stands still, so the address never recovers.

/** How many refused calls an address can have at once, and how many new connections after that. */
const [REFUSALS, CONNECTIONS] = [300, 5];
const PATH = '/dibs.test.Mirror/Look';

const authority = new TestAuthority();
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(() => authority.close());

const asIs = (bytes: Buffer) => bytes;
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Answers with what it sees of a call. */
function look(call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>): void {
  const { sslPeerCertificate } = call.getAuthContext() ?? {};
  const seen = {
    peer: call.getPeer(),
    name: sslPeerCertificate?.subjectaltname,
    request: sha256(call.request),
  };
  done(null, Buffer.from(JSON.stringify(seen)));
}

async function serve(
  tls?: GrpcServerOptions['tls'],
  connectionRefused: GrpcServerOptions['connectionRefused'] = () => {},
): Promise<string> {
  const method = {
    ...{ path: PATH, requestStream: false, responseStream: false, requestDeserialize: asIs },
    ...{ responseDeserialize: asIs, requestSerialize: asIs, responseSerialize: asIs },
  };
  const server = await GrpcServer.bind({
    ...{ listen: ['127.0.0.1:0'], valueBytesMax: 1_048_576, waitersMax: 1_000, waitersPerKeyMax: 1_000 },
    ...{ connectionAgeMs: 60_000, connectionsMax: 100, unsentBytesMax: 67_108_864 },
    ...{ guard: undefined, compressedRequests: false, failed: () => {}, connectionRefused },
    clock: { nowMs: () => 0 },
    services: [{ definition: { look: method }, implementation: { look } }],
    tls,
  });
  closing.push(() => server.stop(0));
  return `localhost:${server.addresses[0]?.split(':')[1]}`;
}

/** Resolves to the answer, or to the code of its error. */
function callOf(
  target: string,
  shownBy: ShownBy,
  more: ClientOptions = {},
): (request: Buffer) => Promise<unknown> {
  const [credentials, options] = channelOf(shownBy);
  const client = new Client(target, credentials, { ...options, ...more });
  closing.push(() => client.close());
  return (request) =>
    new Promise((resolve) => {
      client.makeUnaryRequest<Buffer, Buffer>(PATH, asIs, asIs, request, (error, response) => {
        resolve(error === null ? JSON.parse(String(response)) : error.code);
      });
    });
}

/** Sends compressed requests, which are refused, until the address is held off. */
async function useUpRefusals(target: string, shownBy: ShownBy): Promise<void> {
  const call = callOf(target, shownBy, {
    'grpc.default_compression_algorithm': compressionAlgorithms.gzip,
  });
  const codes = [];
  for (let count = 0; count <= REFUSALS; count += 50) {
    const calls = Array.from({ length: 50 }, () => call(Buffer.of(1)));
    codes.push(...(await Promise.all(calls)));
  }
  expect(codes.filter((code) => code === status.UNIMPLEMENTED).length).toBeGreaterThanOrEqual(REFUSALS - 50);
  expect(codes.at(-1)).not.toBe(status.UNIMPLEMENTED);
}

const tls = () => {
  const [own, client] = [authority.issue(), authority.issue({ names: 'DNS:checkout.shop.svc' })];
  const [cert, key, ca] = [own.cert, own.key, authority.ca].map((path) => readFileSync(path));
  return { served: { cert, key, ca }, shownBy: { tls: { ca: authority.ca, ...client } } };
};

it.each([
  { over: 'plaintext', served: undefined, shownBy: {}, name: undefined },
  { over: 'TLS', ...tls(), name: 'DNS:checkout.shop.svc' },
])('over $over, a client is served although others of its address were refused too often', async (one) => {
  const target = await serve(one.served as GrpcServerOptions['tls']);
  await useUpRefusals(target, one.shownBy);
  const call = callOf(target, one.shownBy);
  for (const bytes of [1, 1_000, 1_000_000]) {
    const request = randomBytes(bytes);
    expect(await call(request)).toEqual({ peer: '127.0.0.1', name: one.name, request: sha256(request) });
  }
});

it('an address with too many refusals gets five new connections, and no sixth', async () => {
  const target = await serve();
  await useUpRefusals(target, {});
  const codes = [];
  for (let count = 0; count <= CONNECTIONS; count += 1) codes.push(await callOf(target, {})(Buffer.of(1)));
  expect(codes.map((code) => typeof code)).toEqual([...Array(CONNECTIONS).fill('object'), 'number']);
});

/** How many of so many calls, fifty at once, ended with this status of gRPC or HTTP. */
async function ended(http2: Http2Connection, calls: number, path: string, headers = {}): Promise<string[]> {
  const ends: string[] = [];
  for (let count = 0; count < calls && http2.isOpen; count += 50) {
    const some = Array.from({ length: 50 }, () => {
      const stream = http2.call(path, headers);
      const end = endOf(stream);
      stream.end();
      return end;
    });
    ends.push(...(await Promise.all(some)));
  }
  return ends;
}

it.each([
  { what: 'a method that does not exist', path: '/dibs.test.Mirror/Nothing', headers: {} },
  { what: 'no call of gRPC', path: PATH, headers: { 'content-type': 'application/json' } },
])('an address with too many calls of $what is held off', async ({ path, headers }) => {
  const target = await serve();
  const http2 = new Http2Connection(target);
  await ended(http2, 2 * REFUSALS, path, headers);
  expect(http2.isOpen).toBe(false);
  const codes = [];
  for (let count = 0; count <= CONNECTIONS; count += 1) codes.push(await callOf(target, {})(Buffer.of(1)));
  expect(codes.map((code) => typeof code)).toEqual([...Array(CONNECTIONS).fill('object'), 'number']);
});

it('a known client may call a method that only a later version has', async () => {
  const http2 = new Http2Connection(await serve());
  const request = () => {
    const stream = http2.call(PATH);
    const end = endOf(stream);
    stream.end(Buffer.from('\0\0\0\0\x01a', 'latin1'));
    return end;
  };
  expect(await request()).toBe('0');
  const ends = await ended(http2, 2 * REFUSALS, '/dibs.test.Mirror/Nothing');
  expect(new Set(ends)).toEqual(new Set([String(status.UNIMPLEMENTED)]));
  expect(await request()).toBe('0');
  await http2.end();
});

it('a call without a message ends at once, also on a connection without an admitted caller', async () => {
  const http2 = new Http2Connection(await serve());
  const [refused] = await ended(http2, 1, '/dibs.test.Mirror/Nothing');
  const startMs = performance.now();
  const stream = http2.call(PATH);
  const end = endOf(stream);
  stream.end();
  expect([refused, await end]).toEqual([status.UNIMPLEMENTED, status.UNIMPLEMENTED].map(String));
  // Otherwise after ten seconds: it counts as not arrived.
  expect(performance.now() - startMs).toBeLessThan(9_000);
  await http2.end();
});

it('an address may open 1,000 connections one after the other, and others more', async () => {
  const refused: string[] = [];
  const target = await serve(undefined, (peer, why) => refused.push(`${peer} ${why}`));
  const port = Number(target.split(':')[1]);
  for (let count = 0; count < 1_000; count += 1) {
    const socket = connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    socket.destroy();
  }
  expect(await callOf(`127.0.0.1:${port}`, {})(Buffer.of(1))).toBe(status.UNAVAILABLE);
  expect(new Set(refused)).toEqual(new Set(['127.0.0.1 connections']));
  const other = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' });
  closing.push(() => other.destroy());
  const [settings] = await once(other, 'data');
  expect(settings).toBeInstanceOf(Buffer);
  expect(refused.every((it) => it === '127.0.0.1 connections')).toBe(true);
});
