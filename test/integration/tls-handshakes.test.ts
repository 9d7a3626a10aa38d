import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { type ConnectionOptions, connect } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LOG } from '../../src/telemetry/log-texts.js';
import { type Issued, TestAuthority } from '../support/certificates.js';
import { httpsGet } from '../support/https.js';
import { linesOf } from '../support/log-lines.js';
import { Replica } from '../support/replica.js';

// Clients that were set up wrongly: the log says why they are not let in.

const authority = new TestAuthority('ours');
const stranger = new TestAuthority('a stranger');
const ours = { ca: readFileSync(authority.ca) };
let replica: Replica;
let port: number;

beforeAll(async () => {
  const { cert, key } = authority.issue();
  replica = await Replica.start({ DIBS_TLS_CERT: cert, DIBS_TLS_KEY: key, DIBS_TLS_CA: authority.ca });
  port = Number(replica.target.split(':')[1]);
});
afterAll(async () => {
  await replica.kill();
  authority.close();
  stranger.close();
});

const shown = ({ cert, key }: Issued) => ({ cert: readFileSync(cert), key: readFileSync(key) });
const reasons = () =>
  linesOf(replica).flatMap(({ msg, address, why }) => {
    if (msg === LOG.handshakeFailed) expect(address).toBe('127.0.0.1');
    return msg === LOG.handshakeFailed ? [why] : [];
  });

/** Connects, and waits for the end. */
async function tries(options: ConnectionOptions): Promise<void> {
  const socket = connect({ port, host: 'localhost', ALPNProtocols: ['h2'], ...options });
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('close', resolve));
}

async function triesPlain(bytes: string): Promise<void> {
  const socket = connectPlain(port, '127.0.0.1');
  socket.on('error', () => {}).resume();
  await once(socket, 'connect');
  if (bytes === '') socket.destroy();
  else socket.write(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
}

it.each<[string, ConnectionOptions, RegExp]>([
  ['no certificate', ours, /^it shows no certificate/],
  ['no certificate, with TLS 1.2', { ...ours, maxVersion: 'TLSv1.2' }, /^it shows no certificate/],
  ['the certificate of a stranger', { ...ours, ...shown(stranger.issue()) }, /is not accepted.*UNABLE_TO/],
  ['one that has expired', { ...ours, ...shown(authority.issue({ days: -1 })) }, /CERT_HAS_EXPIRED/],
])('a client with %s', async (_, options, why) => {
  const before = reasons().length;
  await tries(options);
  await expect.poll(() => reasons().slice(before)).toEqual([expect.stringMatching(why)]);
});

it('a client that does not trust the service, and says so', async () => {
  const before = reasons().length;
  // Node's client says nothing.
  const client = [
    's_client',
    '-connect',
    `localhost:${port}`,
    '-CAfile',
    stranger.ca,
    '-verify_return_error',
  ];
  expect((await promisify(execFile)('openssl', client).catch((error) => error)).code).toBe(1);
  const why = /^it does not accept the certificate in DIBS_TLS_CERT/;
  await expect.poll(() => reasons().slice(before)).toEqual([expect.stringMatching(why)]);
});

it('a client without TLS, and none for one that only connects', async () => {
  const before = reasons().length;
  await triesPlain('');
  await triesPlain('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  await expect.poll(() => reasons().slice(before)).toEqual([expect.stringMatching(/^it does not speak TLS/)]);
});

it('each of them is counted', async () => {
  const url = `https://localhost:${new URL(replica.httpUrl).port}/metrics`;
  const { text } = await httpsGet(url, { tls: { ca: authority.ca, ...authority.issue() } });
  const count = reasons().length;
  expect(count).toBeGreaterThan(0);
  expect(text).toContain(`dibs_connections_refused_total{protocol="grpc",why="handshake"} ${count}\n`);
});
