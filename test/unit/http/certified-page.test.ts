import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { afterAll, expect, it } from 'vitest';
import { Access } from '../../../src/access/access.js';
import { readAuthFile } from '../../../src/config/auth-file.js';
import { Faults } from '../../../src/config/faults.js';
import { authorizeBy } from '../../../src/http/page-guard.js';
import { HttpServer } from '../../../src/http/server.js';
import { TestAuthority } from '../../support/certificates.js';
import { HTTP_OPTIONS } from '../../support/http-options.js';
import { ManualClock } from '../../support/manual-clock.js';

const authority = new TestAuthority();
afterAll(() => authority.close());
const textOf = (path: string) => readFileSync(path, 'utf8');

/** The console asks again for each second of an open page, and the page may have closed in the same turn. */
it('a certificate counts no longer when its connection has closed, and that is no fault', async () => {
  const [server, client] = [authority.issue(), authority.issue({ names: 'DNS:op.svc' })];
  const tls = { cert: textOf(server.cert), key: textOf(server.key), ca: textOf(authority.ca) };
  const file = "identities: { op: { certificates: [op.svc], permissions: { '*': [explain] } } }";
  const audit = { denied: () => {}, invalidated: () => {} };
  const access = new Access(readAuthFile(file, Faults.none()), { clock: new ManualClock(), audit });
  const authorize = authorizeBy({ isPrivate: true, tls, access });
  const seen: { status: number; request: IncomingMessage }[] = [];
  const http = await HttpServer.bind({
    ...HTTP_OPTIONS,
    tls,
    authorize: (request, page) => {
      const status = authorize(request, page);
      seen.push({ status, request });
      return status;
    },
  });
  const own = { cert: textOf(client.cert), key: textOf(client.key), ca: tls.ca };
  const status = await new Promise((resolve, reject) => {
    const asked = get(`https://${http.address}/metrics`, own, (response) => resolve(response.statusCode));
    asked.on('error', reject);
  });
  expect(status).toBe(200);
  const [first] = seen;
  expect(first?.status).toBe(200);
  const { request } = first as (typeof seen)[number];
  request.socket.destroy();
  expect(authorize(request, 'console')).toBe(401);
  await http.stop();
});
