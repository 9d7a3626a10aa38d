import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it } from 'vitest';
import type { Identities } from '../../../src/access/identity.js';
import { RELOADED, watchIdentities, watchTls } from '../../../src/config/reloads.js';
import type { TlsMaterial } from '../../../src/config/tls-files.js';
import { TestAuthority } from '../../support/certificates.js';

const NEVER_MS = 3_600_000;
const authority = new TestAuthority();
afterAll(() => authority.close());

const told: [string, object, string][] = [];
const log = {
  info: (fields: object, message: string) => told.push(['info', fields, message]),
  error: (fields: object, message: string) => told.push(['error', fields, message]),
};
beforeEach(() => {
  told.length = 0;
});

it('the certificate is renewed, and the old one is kept if the new one is bad', async () => {
  const paths = authority.issue();
  const material = { cert: readFileSync(paths.cert, 'utf8'), key: readFileSync(paths.key, 'utf8') };
  const renewed: TlsMaterial[] = [];
  const watch = watchTls({ paths, material }, log, (it) => renewed.push(it), NEVER_MS);
  await watch.check();
  expect(told).toEqual([]);

  const next = authority.issue({ names: 'DNS:next.svc' });
  writeFileSync(paths.cert, readFileSync(next.cert));
  await watch.check();
  expect(told).toEqual([
    [
      'error',
      { faults: ['DIBS_TLS_KEY: does not match the certificate in DIBS_TLS_CERT'] },
      RELOADED.certificateKept,
    ],
  ]);
  expect(renewed).toEqual([]);

  writeFileSync(paths.key, readFileSync(next.key));
  await watch.check();
  expect(renewed).toEqual([{ cert: readFileSync(next.cert, 'utf8'), key: readFileSync(next.key, 'utf8') }]);
  expect(told[1]).toEqual([
    'info',
    { subjectAltName: 'DNS:next.svc', validTo: expect.any(String) },
    RELOADED.certificate,
  ]);

  authority.replace(paths, authority.issue({ days: -1 }));
  await watch.check();
  expect(renewed).toHaveLength(1);
  expect(told[2]?.[1]).toEqual({ faults: [expect.stringMatching('DIBS_TLS_CERT: expired on')] });
  watch.stop();
});

it('the identities are replaced, and the old ones are kept if the file has faults', async () => {
  const path = join(authority.dir, 'auth.yaml');
  const text = 'identities: { one: {} }';
  writeFileSync(path, text);
  const replaced: Identities[] = [];
  const watch = watchIdentities({ path, text }, log, { replace: (it) => replaced.push(it) }, NEVER_MS);
  writeFileSync(path, 'identities: { one: { waiters: 0 } }');
  await watch.check();
  expect(replaced).toEqual([]);
  expect(told).toEqual([
    [
      'error',
      { faults: [expect.stringMatching(/^DIBS_AUTH_FILE: identities.one.waiters: is not a whole number/)] },
      RELOADED.identitiesKept,
    ],
  ]);
  writeFileSync(path, 'identities: { one: {}, two: {} }');
  await watch.check();
  expect(replaced.map((it) => [...it.keys()])).toEqual([['one', 'two']]);
  expect(told[1]).toEqual(['info', { identities: 2 }, RELOADED.identities]);
  watch.stop();
});
