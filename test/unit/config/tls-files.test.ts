import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { Faults } from '../../../src/config/faults.js';
import { certificateEndsOf, readTlsFiles as readInto, type TlsPaths } from '../../../src/config/tls-files.js';
import { TestAuthority } from '../../support/certificates.js';

const authority = new TestAuthority();
afterAll(() => authority.close());
const good = authority.issue();
const other = authority.issue();
const expired = authority.issue({ days: -1 });

const DAY_MS = 86_400_000;
const contents: Record<string, string> = { empty: '', words: 'hello' };
const read = (path: string) => contents[path] ?? readFileSync(path, 'utf8');
function readTlsFiles(paths: TlsPaths, from: typeof read, nowMs: number) {
  const faults = Faults.none();
  return { material: readInto(paths, from, nowMs, faults), faults: faults.all };
}
const faultsOf = (paths: TlsPaths, nowMs = Date.now()) => readTlsFiles(paths, read, nowMs).faults;

describe('the files of TLS', () => {
  it('are returned unchanged', () => {
    const { material, faults } = readTlsFiles({ ...good, ca: authority.ca }, read, Date.now());
    expect(faults).toEqual([]);
    expect(material).toEqual({ cert: read(good.cert), key: read(good.key), ca: read(authority.ca) });
    expect(readTlsFiles(good, read, Date.now()).material).toEqual({
      cert: read(good.cert),
      key: read(good.key),
    });
  });

  it('may contain chains and bundles of authorities', () => {
    const another = new TestAuthority('another');
    contents.chain = read(good.cert) + read(authority.ca);
    contents.bundle = `# ours\n${read(authority.ca)}\n# theirs\n${read(another.ca)}`;
    expect(faultsOf({ cert: 'chain', key: good.key, ca: 'bundle' })).toEqual([]);
    contents.cut = `${read(authority.ca)}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`;
    expect(faultsOf({ ...good, ca: 'cut' })[0]).toMatch(/^DIBS_TLS_CA: 'cut' has a broken PEM certificate: /);
    contents.cut = `${read(authority.ca)}-----BEGIN CERTIFICATE-----\nAAAA\n`;
    expect(faultsOf({ ...good, ca: 'cut' })[0]).toMatch(/^DIBS_TLS_CA: 'cut' has a broken PEM certificate: /);
    contents.chain = `${read(good.cert)}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`;
    expect(faultsOf({ cert: 'chain', key: good.key })[0]).toMatch(
      /^DIBS_TLS_CERT: 'chain' cannot be used for TLS/,
    );
    another.close();
  });

  it.each([
    [
      'a file that is not there',
      { cert: 'nowhere', key: good.key },
      /^DIBS_TLS_CERT: 'nowhere' cannot be read/,
    ],
    ['no certificate', { cert: 'words', key: good.key }, /^DIBS_TLS_CERT: 'words' is not a PEM certificate/],
    ['an empty certificate', { cert: 'empty', key: good.key }, /^DIBS_TLS_CERT: 'empty' is not a PEM/],
    ['no key', { cert: good.cert, key: 'words' }, /^DIBS_TLS_KEY: 'words' is not a PEM private key without/],
    [
      'the key of another certificate',
      { cert: good.cert, key: other.key },
      /^DIBS_TLS_KEY: does not match the cert/,
    ],
    ['an invalid authority', { ...good, ca: 'words' }, /^DIBS_TLS_CA: 'words' has no PEM certificate/],
    ['an authority that is not there', { ...good, ca: 'nowhere' }, /^DIBS_TLS_CA: 'nowhere' cannot be read/],
    ['an expired certificate', expired, /^DIBS_TLS_CERT: expired on 20\d\d-.*Z$/],
  ])('are refused with %s', (_what, paths, fault) => {
    const { material, faults } = readTlsFiles(paths, read, Date.now());
    expect(material).toBeUndefined();
    expect(faults).toEqual([expect.stringMatching(fault)]);
  });

  it('are valid between two dates, on both sides of each', () => {
    const nowMs = Date.now();
    expect(faultsOf(good, nowMs + 1.9 * DAY_MS)).toEqual([]);
    expect(faultsOf(good, nowMs + 2.1 * DAY_MS)[0]).toMatch('DIBS_TLS_CERT: expired on');
    expect(faultsOf(good, nowMs - DAY_MS)[0]).toMatch('DIBS_TLS_CERT: is not valid before');
  });

  it('have an authority that is valid', () => {
    // The certificate of the server outlives its authority here, by the clock of the test.
    const longer = { ...authority.issue({ days: 400 }), ca: authority.ca };
    expect(faultsOf(longer)).toEqual([]);
    const beyond = Date.now() + 200 * DAY_MS;
    expect(faultsOf(longer, beyond)).toEqual([
      expect.stringMatching(
        /^DIBS_TLS_CA: '.*' has no certificate that is valid now; the first is valid from/,
      ),
    ]);
  });

  it('end with the first certificate of a chain, and with the last authority', () => {
    const [short, long] = [authority.issue({ days: 1 }), authority.issue({ days: 9 })].map(({ cert }) =>
      read(cert),
    );
    const days = (material: { cert: string; ca?: string }) =>
      certificateEndsOf({ key: '', ...material }).map(({ variable, fromMs, endMs }) => {
        expect(fromMs).toBeLessThanOrEqual(Date.now());
        return [variable, Math.round((endMs - Date.now()) / DAY_MS)];
      });
    expect(days({ cert: `${long}` })).toEqual([['DIBS_TLS_CERT', 9]]);
    // An intermediate certificate may end before the one that it signed.
    expect(days({ cert: `${long}${short}` })).toEqual([['DIBS_TLS_CERT', 1]]);
    expect(days({ cert: `${short}`, ca: `# old\n${short}\n# new\n${long}` })).toEqual([
      ['DIBS_TLS_CERT', 1],
      ['DIBS_TLS_CA', 9],
    ]);
  });

  it('have all their faults reported at once, without any part of the key', () => {
    const faults = faultsOf({ cert: good.key, key: 'words', ca: 'empty' });
    expect(faults.map((fault) => fault.split(':')[0])).toEqual([
      'DIBS_TLS_CERT',
      'DIBS_TLS_KEY',
      'DIBS_TLS_CA',
    ]);
    expect(faults.join()).not.toMatch(read(good.key).split('\n')[1] ?? '');
  });
});
