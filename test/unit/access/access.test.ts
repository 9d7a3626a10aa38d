import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Access } from '../../../src/access/access.js';
import { readAuthFile } from '../../../src/config/auth-file.js';
import { Faults } from '../../../src/config/faults.js';
import { ManualClock } from '../../support/manual-clock.js';

const sha256 = (token: string) => `sha256:${createHash('sha256').update(token).digest('hex')}`;

const identitiesOf = (text: string) => {
  const read = Faults.none();
  const identities = readAuthFile(`identities:\n${text}`, read);
  const faults = read.all;
  expect(faults).toEqual([]);
  return identities;
};
const CHECKOUT = `
  checkout:
    tokens: ['${sha256('old')}', '${sha256('new')}']
    certificates: [checkout.svc, 'spiffe://prod/checkout']
    permissions: { catalog: [lease, publish], '*': [read] }
    calls_per_second: 2
    waiters: 7
`;
const OPERATOR = `
  operator: { tokens: ['${sha256('op')}'], certificates: [op.svc], permissions: { '*': [explain] } }
`;

function trial(text = CHECKOUT + OPERATOR) {
  const clock = new ManualClock();
  const audited: unknown[][] = [];
  const audit = {
    denied: (...what: unknown[]) => audited.push(what),
    invalidated: (...what: unknown[]) => audited.push(what),
  };
  const access = new Access(identitiesOf(text), { clock, audit });
  const show = (authorization = '', subjectAltName = '') => ({
    authorization,
    subjectAltName: () => subjectAltName,
  });
  const admit = (authorization?: string, names?: string) =>
    access.admit(show(authorization, names), 'Publish');
  const page = (authorization?: string, names?: string) =>
    access.admitToPage(show(authorization, names), '/metrics');
  return { clock, access, audited, admit, page };
}

const unauthenticated = expect.objectContaining({ kind: 'unauthenticated' });
const denied = expect.objectContaining({ kind: 'permission_denied' });

describe('a caller', () => {
  it('is identified by either of its tokens, however the scheme is spelled', () => {
    const { admit, audited } = trial();
    for (const authorization of ['Bearer old', 'bearer new', 'BEARER  new']) {
      expect(admit(authorization).identity).toBe('checkout');
    }
    expect(admit('Bearer op').identity).toBe('operator');
    expect(audited).toEqual([]);
  });

  it.each([
    'Bearer',
    'Bearer ',
    'Bearer Old',
    'Bearer old new',
    'old',
    'Basic old',
    `Bearer ${sha256('old')}`,
    `Bearer ${sha256('old').slice('sha256:'.length)}`,
    'Basic Om9sZA==',
  ])('is not identified by %j, even with a known certificate', (authorization) => {
    const { admit, audited } = trial();
    expect(() => admit(authorization, 'DNS:checkout.svc')).toThrow(unauthenticated);
    expect(audited).toEqual([['', 'Publish', '', '']]);
  });

  it('is identified by a name of its certificate if it shows no token', () => {
    const { admit } = trial();
    expect(admit('', 'DNS:other, DNS:Checkout.svc').identity).toBe('checkout');
    expect(admit('', 'URI:spiffe://prod/checkout').identity).toBe('checkout');
    expect(admit('Bearer op', 'DNS:checkout.svc').identity).toBe('operator');
  });

  it('is not identified without both, or by a certificate that matches two identities', () => {
    const { admit } = trial();
    expect(() => admit()).toThrow('send a bearer token or a client certificate');
    expect(() => admit('', 'DNS:other')).toThrow('every name of the client certificate is unknown');
    expect(() => admit('', 'URI:checkout.svc')).toThrow(unauthenticated);
    expect(() => admit('', 'DNS:checkout.svc, DNS:op.svc')).toThrow(unauthenticated);
  });

  it('is known until its credential is removed', () => {
    const { access, admit, audited } = trial();
    const [old, fresh, certified] = [admit('Bearer old'), admit('Bearer new'), admit('', 'DNS:checkout.svc')];
    access.replace(
      identitiesOf(`  checkout: { tokens: ['${sha256('new')}'], certificates: [checkout.svc] }`),
    );
    expect([old.isKnown, fresh.isKnown, certified.isKnown]).toEqual([false, true, true]);
    expect(() => access.readmit(old, 'Session')).toThrow(unauthenticated);
    expect(() => access.readmit(fresh, 'Session')).not.toThrow();
    expect(audited).toEqual([['', 'Session', '', '']]);
    // The credentials belong to another identity now, so they do not count for the old one.
    access.replace(identitiesOf(`  other: { tokens: ['${sha256('new')}'], certificates: [checkout.svc] }`));
    expect([fresh.isKnown, certified.isKnown]).toEqual([false, false]);
    access.replace(identitiesOf(CHECKOUT));
    expect([old.isKnown, fresh.isKnown]).toEqual([true, true]);
  });
});

describe('an identity', () => {
  it('may do what the file grants for the namespace or for all', () => {
    const { access } = trial();
    for (const permission of ['lease', 'publish', 'read'] as const) {
      expect(access.may('checkout', permission, 'catalog')).toBe(true);
    }
    for (const permission of ['invalidate', 'explain'] as const) {
      expect(access.may('checkout', permission, 'catalog')).toBe(false);
    }
    expect(access.may('checkout', 'read', 'anything')).toBe(true);
    expect(access.may('checkout', 'lease', 'anything')).toBe(false);
    expect(access.may('stranger', 'read', 'catalog')).toBe(false);
    expect(access.may('', 'read', 'catalog')).toBe(false);
  });

  it('may do nothing else: a denial names the permission and the namespace, and is audited', () => {
    const { access, audited } = trial();
    const lease = () => access.allow('checkout', 'GetOrLock', 'lease', 'other', 1);
    expect(lease).toThrow(denied);
    expect(lease).toThrow('identity checkout lacks the permission lease in namespace other');
    expect(audited).toContainEqual(['checkout', 'GetOrLock', 'other', 'lease']);
    expect(() => access.allow('gone', 'GetOrLock', 'read', 'catalog', 1)).toThrow(unauthenticated);
  });

  it('has a bounded rate of calls', () => {
    const { access, clock } = trial();
    const read = (calls = 1) => access.allow('checkout', 'GetOrLock', 'read', 'a', calls);
    read();
    read();
    expect(() => read()).toThrow(expect.objectContaining({ kind: 'exhausted', retryAfterMs: 500 }));
    expect(() => read(0)).not.toThrow();
    clock.advance(500);
    expect(() => read()).not.toThrow();
    for (let at = 0; at < 99; at += 1) access.allow('operator', 'Explain', 'explain', 'a', 1);
  });

  it('has a bounded number of waiters, and callers without identity have none', () => {
    const { access } = trial();
    const of = (name: string) => access.waitersMaxOf(name);
    expect([of('checkout'), of('operator'), of('stranger')]).toEqual([7, Number.POSITIVE_INFINITY, 0]);
  });

  it('has its invalidations audited', () => {
    const { access, audited } = trial();
    const what = { namespace: 'a', keys: [], tags: ['t'], all: false, mode: 'delete' } as const;
    access.invalidated('checkout', what);
    expect(audited).toEqual([['checkout', what]]);
  });
});

describe('a page', () => {
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

  it('admits identities with explain in all namespaces, by token, password or certificate', () => {
    const { page } = trial();
    for (const authorization of ['Bearer op', basic('me:op'), basic(':op')]) {
      expect(() => page(authorization)).not.toThrow();
    }
    expect(() => page('', 'DNS:op.svc')).not.toThrow();
  });

  it('admits no others', () => {
    const { page, audited } = trial(`${CHECKOUT}${OPERATOR}
  half: { tokens: ['${sha256('half')}'], permissions: { catalog: [explain] } }
`);
    for (const authorization of [
      '',
      'Bearer',
      basic('op'.repeat(2)),
      basic('op:'),
      basic('op:no'),
      'Basic !',
    ]) {
      expect(() => page(authorization)).toThrow(unauthenticated);
    }
    for (const authorization of ['Bearer new', basic('me:new'), 'Bearer half']) {
      expect(() => page(authorization)).toThrow(denied);
    }
    expect(() => page('Bearer half')).toThrow('the permission explain in every namespace');
    expect(audited).toContainEqual(['half', '/metrics', '*', 'explain']);
    expect(audited).toContainEqual(['', '/metrics', '', '']);
  });
});

it('a refused call counts too: without the permission, or if it cannot be decoded', () => {
  const { access } = trial();
  expect(() => access.allow('checkout', 'Explain', 'explain', 'catalog', 1)).toThrow(denied);
  expect(() => access.spend('checkout')).not.toThrow();
  const exhausted = expect.objectContaining({ kind: 'exhausted' });
  expect(() => access.spend('checkout')).toThrow(exhausted);
  expect(() => access.allow('checkout', 'GetOrLock', 'read', 'catalog', 1)).toThrow(exhausted);
  // The second check, when a waiter is answered, does not count.
  expect(() => access.allow('checkout', 'GetOrLock', 'read', 'catalog', 0)).not.toThrow();
  expect(() => access.spend('unknown')).not.toThrow();
});
