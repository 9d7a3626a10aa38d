import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.js';
import { TestAuthority } from '../../support/certificates.js';
import { fault, faults } from '../../support/config-faults.js';

describe('TLS', () => {
  const authority = new TestAuthority();
  afterAll(() => authority.close());
  const { cert, key } = authority.issue();
  const env = { DIBS_TLS_CERT: cert, DIBS_TLS_KEY: key };

  it('allows listening beyond the loopback, and makes the pages private', () => {
    const everywhere = { DIBS_LISTEN: '0.0.0.0:50051', DIBS_HTTP_LISTEN: '0.0.0.0:9464' };
    const config = loadConfig({ ...env, ...everywhere, DIBS_TLS_CA: authority.ca });
    const [certText, keyText, ca] = [cert, key, authority.ca].map((path) => readFileSync(path, 'utf8'));
    expect(config.tls).toEqual({
      paths: { cert, key, ca: authority.ca },
      material: { cert: certText, key: keyText, ca },
    });
    expect(config.httpIsPrivate).toBe(true);
    expect(loadConfig({ DIBS_HTTP_LISTEN: '0.0.0.0:9464' }).httpIsPrivate).toBe(false);
    expect(loadConfig({ DIBS_HTTP_LISTEN: '[::1]:9464' }).httpIsPrivate).toBe(true);
    expect(loadConfig({ DIBS_HTTP_LISTEN: '0.0.0.0:9464', DIBS_INSECURE: 'true' }).httpIsPrivate).toBe(true);
  });

  it('is not repeated by a fault if the content of a file is set instead of its path', () => {
    const pem = readFileSync(key, 'utf8');
    const base64 = Buffer.from(pem).toString('base64');
    const der = pem.replace(/-----[A-Z ]+-----|\n/g, '');
    const inUrls = der.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
    for (const content of [pem, pem.replace(/\n/g, ' '), base64, der, ` ${der}`, inUrls]) {
      expect(faults({ ...env, DIBS_TLS_KEY: content })).toEqual([
        'DIBS_TLS_KEY: cannot be read, and looks like the content of a file; set the path of the file',
      ]);
    }
    const inline = 'identities:\n  one: { tokens: [a-token-in-clear] }';
    expect(faults({ DIBS_AUTH_FILE: inline })).toEqual([
      'DIBS_AUTH_FILE: cannot be read, and looks like the content of a file; set the path of the file',
    ]);
  });

  it('needs both a certificate and a key, and an authority for clients only with them', () => {
    expect(fault({ DIBS_TLS_CERT: cert })).toBe(
      'DIBS_TLS_CERT: is set while DIBS_TLS_KEY is not; set both or neither',
    );
    expect(fault({ DIBS_TLS_KEY: key, DIBS_TLS_CA: cert })).toBe(
      'DIBS_TLS_KEY: is set while DIBS_TLS_CERT is not; set both or neither',
    );
    expect(fault({ DIBS_TLS_CA: authority.ca })).toMatch('DIBS_TLS_CA: is set while DIBS_TLS_CERT is not');
  });

  it('is suspicious without an authority if the access file names client certificates', () => {
    const file = (certificates: string) => `identities: { shop: { certificates: [${certificates}] } }`;
    const suspicions = (variables: Record<string, string>, text: string) =>
      loadConfig(variables, (path) => (path === 'auth' ? text : readFileSync(path, 'utf8'))).suspicions;
    const withFile = { ...env, DIBS_AUTH_FILE: 'auth' };
    const suspicious = { certificatesWithoutAuthority: true };
    expect(suspicions({ DIBS_AUTH_FILE: 'auth' }, file('shop.svc'))).toMatchObject(suspicious);
    expect(suspicions(withFile, file('shop.svc'))).toMatchObject(suspicious);
    for (const [variables, text] of [
      [withFile, file('')],
      [{ ...withFile, DIBS_TLS_CA: authority.ca }, file('shop.svc')],
    ] as const) {
      expect(suspicions(variables, text)).toMatchObject({ certificatesWithoutAuthority: false });
    }
  });

  it('must be valid at the start', () => {
    expect(fault({ ...env, DIBS_TLS_KEY: authority.issue().key })).toBe(
      'DIBS_TLS_KEY: does not match the certificate in DIBS_TLS_CERT',
    );
    const later = () => loadConfig(env, (path) => readFileSync(path, 'utf8'), Date.now() + 3 * 86_400_000);
    expect(later).toThrow('DIBS_TLS_CERT: expired on');
    expect(fault({ ...env, DIBS_TLS_CERT: '/nowhere' }, undefined)).toMatch('DIBS_TLS_CERT:');
  });
});

describe('DIBS_AUTH_FILE', () => {
  it('defines who may do what', () => {
    const text = "identities: { checkout: { permissions: { '*': [read] } } }";
    const { auth } = loadConfig({ DIBS_AUTH_FILE: 'a.yaml' }, () => text);
    expect(auth).toMatchObject({ path: 'a.yaml', text });
    expect(auth?.identities.get('checkout')?.permissions.get('*')).toEqual(new Set(['read']));
    expect(loadConfig({}).auth).toBeUndefined();
  });

  it('has all its faults reported, each with its path', () => {
    const text = "identities: { one: { waiters: 0 }, 'a b': {} }";
    expect(faults({ DIBS_AUTH_FILE: 'a.yaml' }, text)).toEqual([
      'DIBS_AUTH_FILE: identities.one.waiters: is not a whole number within 1 to 10000000',
      'DIBS_AUTH_FILE: identities (name 2): is not a name of 1 to 64 of [A-Za-z0-9_-]',
    ]);
  });

  it('must exist', () => {
    const unreadable = () => {
      throw new Error('no such file');
    };
    expect(() => loadConfig({ DIBS_AUTH_FILE: 'a.yaml' }, unreadable)).toThrow(
      "DIBS_AUTH_FILE: 'a.yaml' cannot be read: no such file",
    );
  });
});

describe('the URL of a trace', () => {
  it('is a URL with {trace_id} in it', () => {
    const good = 'https://jaeger.example.com/trace/{trace_id}?uiFind={span_id}';
    expect(loadConfig({ DIBS_TRACE_URL: good }).traceUrl).toBe(good);
    expect(loadConfig({}).traceUrl).toBe('');
    for (const bad of [
      'https://jaeger.example.com/trace/',
      'javascript:alert("{trace_id}")',
      '/trace/{trace_id}',
      'https:///{trace_id}',
    ]) {
      expect(fault({ DIBS_TRACE_URL: bad })).toBe(
        'DIBS_TRACE_URL: is not http://… or https://… with {trace_id} in it',
      );
    }
  });

  it('has no password, because the console shows it', () => {
    for (const user of ['me:secret', ':secret', 'secret']) {
      expect(fault({ DIBS_TRACE_URL: `https://${user}@jaeger.example.com/trace/{trace_id}` })).toBe(
        'DIBS_TRACE_URL: has a user or a password, which everyone who opens the console would see; remove it',
      );
    }
  });
});

describe('the addresses', () => {
  const listen = (one: string, other: string) => ({ DIBS_LISTEN: `${one},${other}`, DIBS_INSECURE: 'true' });

  it.each([
    ['[::1]:1', '[0:0:0:0:0:0:0:1]:1'],
    ['localhost:1', 'LOCALHOST:1'],
    ['unix:///run/dibs.sock', 'unix:///run//x/../dibs.sock'],
  ])('of gRPC are listed once, in any spelling: %s', (one, other) => {
    expect(fault(listen(one, other))).toBe(`DIBS_LISTEN: '${other}' is listed twice`);
  });

  it('of gRPC may differ in the port or the host, and take several free ports', () => {
    expect(faults(listen('[::1]:1,[::1]:2', '127.0.0.1:1,localhost:0,localhost:0'))).toEqual([]);
  });

  it('of gRPC and HTTP differ', () => {
    const said = "DIBS_HTTP_LISTEN: '127.0.0.1:9464' is also in DIBS_LISTEN; set another port";
    expect(fault(listen('localhost:1', '127.0.0.1:9464'))).toBe(said);
    expect(fault({ DIBS_HTTP_LISTEN: '[0::1]:50051', DIBS_LISTEN: '[::1]:50051' })).toMatch('is also in');
    expect(faults({ DIBS_HTTP_LISTEN: '127.0.0.1:0', DIBS_LISTEN: '127.0.0.1:0' })).toEqual([]);
  });

  it.each(['DIBS_LISTEN', 'DIBS_HTTP_LISTEN'])('have no zone: %s', (name) => {
    const said = "'[fe80::1%eth0]:50051' has a zone (%NAME), which cannot be used";
    expect(fault({ [name]: '[fe80::1%eth0]:50051' })).toMatch(`${name}: ${said}`);
  });
});
