import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, expect, it } from 'vitest';
import { HttpServer } from '../../../src/http/server.js';
import { TestAuthority } from '../../support/certificates.js';
import { HTTP_OPTIONS } from '../../support/http-options.js';
import { until } from '../../support/until.js';

const authority = new TestAuthority();
afterAll(() => authority.close());
const PROBE = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';

it('over TLS, requests are counted too, and a connection that waits for its turn gets its probe', async () => {
  const { cert, key } = authority.issue();
  let nowMs = 0;
  let refused = 0;
  const server = await HttpServer.bind({
    ...HTTP_OPTIONS,
    clock: { nowMs: () => nowMs },
    connectionRefused: () => {
      refused += 1;
    },
    tls: { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') },
  });
  const begin = (): TLSSocket => {
    const port = Number(server.address.split(':')[1]);
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    return socket.on('error', () => {});
  };
  /** Whether one probe is answered. */
  const ask = async (socket: TLSSocket): Promise<boolean> => {
    socket.write(PROBE);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    await until(() => text.includes('\r\n\r\n') || socket.destroyed);
    socket.destroy();
    return text.startsWith('HTTP/1.1 200');
  };
  const idle = begin();
  await once(idle, 'secureConnect');
  // A record of TLS has fewer than all of them, so it takes some.
  for (let count = 0; count < 200 && !idle.destroyed; count += 1) {
    const pipelining = begin();
    pipelining.write(PROBE.repeat(1_500));
    pipelining.resume();
    await until(() => pipelining.destroyed);
  }
  idle.resume();
  await until(() => idle.destroyed);
  nowMs += 900;
  const before = refused;
  for (let count = 0; refused === before && count < 10; count += 1) await ask(begin());
  const late = ask(begin());
  nowMs += 200;
  expect(await late).toBe(true);
  await server.stop();
});
