import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readAuthFile } from '../../../src/config/auth-file.js';
import { Faults } from '../../../src/config/faults.js';

const digestOf = (token: string) => createHash('sha256').update(token).digest('hex');
const A = `sha256:${digestOf('a')}`;
const B = `sha256:${digestOf('b')}`;
const C = `sha256:${digestOf('c')}`;

function read(text: string) {
  const faults = Faults.none();
  return { identities: readAuthFile(text, faults), faults: faults.all };
}
const faultsOf = (text: string) => read(text).faults;
/** The faults of a file with this one identity. */
const faultsIn = (said: string) => faultsOf(`identities: { one: ${said} }`);

describe('DIBS_AUTH_FILE', () => {
  it('defines who may do what', () => {
    const { identities, faults } = read(`
identities:
  checkout:
    tokens: ['${A}', '${B.toUpperCase().replace('SHA', 'sha')}']
    certificates: [Checkout.Shop.svc, 'spiffe://prod/Checkout']
    permissions:
      catalog: [read, lease, publish, invalidate, explain]
      '*': [read]
    calls_per_second: 5000
    waiters: 2000
  search: {}
`);
    expect(faults).toEqual([]);
    const [checkout, search] = ['checkout', 'search'].map((name) => identities.get(name));
    expect(checkout?.tokens.map((token) => token.toString('hex'))).toEqual([digestOf('a'), digestOf('b')]);
    expect(checkout?.certificates).toEqual(['DNS:checkout.shop.svc', 'URI:spiffe://prod/Checkout']);
    expect(checkout?.permissions.get('catalog')).toEqual(
      new Set(['read', 'lease', 'publish', 'invalidate', 'explain']),
    );
    expect(checkout?.permissions.get('*')).toEqual(new Set(['read']));
    expect(checkout).toMatchObject({ name: 'checkout', callsPerSecond: 5000, waitersMax: 2000 });
    expect(search).toEqual({
      name: 'search',
      tokens: [],
      certificates: [],
      permissions: new Map(),
      callsPerSecond: Number.POSITIVE_INFINITY,
      waitersMax: Number.POSITIVE_INFINITY,
    });
  });

  it('accepts the example on the page for operators', () => {
    const page = readFileSync('deploy/operations/access.md', 'utf8');
    const [, example = ''] = /^```yaml\n([\s\S]*?)^```$/m.exec(page) ?? [];
    const { identities, faults } = read(example);
    expect(faults).toEqual([]);
    expect([...identities.keys()]).toEqual(['checkout', 'prometheus']);
  });

  it('reports all faults at once, each with its path', () => {
    expect(
      faultsOf(`
identities:
  one:
    tokens: [secret, '${A}', '${B}']
    certificates: ['a b', 'a"b', '']
    permissions: { 'a b': [read], ok: [write] }
    calls_per_second: 0
    waiters: 1.5
    colour: red
  'a name': {}
roles: {}
`),
    ).toEqual([
      'identities.one.tokens.0: is not sha256: and the 64 hexadecimal digits of a SHA-256',
      'identities.one.tokens: has more than 2 tokens; keep the current one and its successor',
      'identities.one.certificates.0: is not a DNS name or a URI of a certificate',
      'identities.one.certificates.1: is not a DNS name or a URI of a certificate',
      'identities.one.certificates.2: is not a DNS name or a URI of a certificate',
      'identities.one.permissions (name 1): is not a namespace: 1 to 64 of [A-Za-z0-9_.-], or * for all',
      'identities.one.permissions.ok.0: is not one of read, lease, publish, invalidate, explain',
      'identities.one.calls_per_second: is not a whole number within 1 to 1000000',
      'identities.one.waiters: is not a whole number within 1 to 10000000',
      'identities.one: colour: not known; known are tokens, certificates, permissions, calls_per_second, waiters',
      'identities (name 2): is not a name of 1 to 64 of [A-Za-z0-9_-]',
      'roles: not known; known are identities',
    ]);
  });

  it.each(['', '{}', 'identities:', '[]', 'identities: []', 'words'])('cannot be %j', (text) => {
    expect(faultsOf(text)).not.toEqual([]);
    expect(read(text).identities.size).toBe(0);
  });

  it('is YAML, and a fault in it repeats no token', () => {
    const faults = faultsOf('identities: { one: { tokens: [my-secret }');
    expect(faults).toEqual(['is not plain YAML: BAD_INDENT at line 1, column 41']);
    for (const said of ["{ tokens: ['my-secret'] }", '{ my-secret: 1 }', '{ tokens: { my-secret: 1 } }']) {
      expect(faultsIn(said).join()).toMatch('identities.one');
      expect(faultsIn(said).join()).not.toMatch('my-secret');
    }
    for (const text of ['my-secret: checkout', 'identities: { "my-secret=": {} }']) {
      expect(faultsOf(text).join()).toMatch('identities');
      expect(faultsOf(text).join()).not.toMatch('my-secret');
    }
    expect(faultsIn('{ permissions: { "my-secret=": [read] } }')).toEqual([
      expect.stringMatching(/^identities\.one\.permissions \(name 1\): is not a namespace/),
    ]);
    expect(faultsOf('identities: { one: {}, one: {} }').join()).toMatch('DUPLICATE_KEY at line 1');
  });

  it('bounds the length of names, the rates and the waiters', () => {
    const name = 'x'.repeat(64);
    expect(faultsOf(`identities: { ${name}: {} }`)).toEqual([]);
    expect(faultsOf(`identities: { ${name}x: {} }`)).toHaveLength(1);
    expect(faultsOf(`identities: { '': {} }`)).toHaveLength(1);
    expect(faultsIn('{ calls_per_second: 1, waiters: 1 }')).toEqual([]);
    expect(faultsIn('{ calls_per_second: 1000000, waiters: 10000000 }')).toEqual([]);
    expect(faultsIn('{ calls_per_second: 1000001 }')).toHaveLength(1);
    expect(faultsIn('{ waiters: 10000001 }')).toHaveLength(1);
    expect(faultsIn('{ waiters: 0 }')).toHaveLength(1);
  });

  it('has no credentials that two identities share', () => {
    const text = `
identities:
  one: { tokens: ['${A}'], certificates: [shop.svc, 'spiffe://a'] }
  two: { tokens: ['${C}', 'sha256:${digestOf('a').toUpperCase()}'], certificates: [SHOP.svc] }
  three: { certificates: ['spiffe://A', 'spiffe://a'] }
`;
    expect(faultsOf(text)).toEqual([
      'identities.two.tokens.1: is the same as identities.one.tokens.0; credentials must belong to one identity',
      'identities.two.certificates.0: is the same as identities.one.certificates.0; credentials must belong to one identity',
      'identities.three.certificates.1: is the same as identities.one.certificates.1; credentials must belong to one identity',
    ]);
  });
});
