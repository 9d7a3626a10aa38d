import type { IncomingMessage } from 'node:http';
import { expect, it } from 'vitest';
import type { Credentials } from '../../../src/access/guard.js';
import { CoordinationError } from '../../../src/coordination/words/errors.js';
import { authorizeBy } from '../../../src/http/page-guard.js';

function requestOf(authorization?: string, certified = false): IncomingMessage {
  const socket = { authorized: certified, getPeerCertificate: () => ({ subjectaltname: 'DNS:op.svc' }) };
  return { headers: { authorization }, socket } as unknown as IncomingMessage;
}
const tls = { cert: '', key: '' };
const withCa = { ...tls, ca: '' };

it('without identities the metrics are open, and the console is open on private connections', () => {
  const inClear = authorizeBy({ isPrivate: false });
  expect(inClear(requestOf(), 'metrics')).toBe(200);
  expect(inClear(requestOf(), 'console')).toBe(403);
  for (const parts of [{ isPrivate: true }, { isPrivate: true, tls }]) {
    for (const page of ['metrics', 'console'] as const) {
      expect(authorizeBy(parts)(requestOf(), page)).toBe(200);
    }
  }
});

it('with an authority, a verified certificate is required', () => {
  const authorize = authorizeBy({ isPrivate: true, tls: withCa });
  for (const page of ['metrics', 'console'] as const) {
    expect(authorize(requestOf(), page)).toBe(403);
    expect(authorize(requestOf(undefined, true), page)).toBe(200);
  }
});

it('with identities, the credentials decide, and unverified certificates do not count', () => {
  const shown: [string, string, string][] = [];
  let refusal: Error | undefined;
  const admitToPage = ({ authorization, subjectAltName }: Credentials, page: string) => {
    shown.push([authorization, subjectAltName(), page]);
    if (refusal !== undefined) throw refusal;
  };
  const authorize = authorizeBy({ isPrivate: true, tls: withCa, access: { admitToPage } });
  expect(authorize(requestOf('Bearer t'), 'metrics')).toBe(200);
  expect(authorize(requestOf(undefined, true), 'console')).toBe(200);
  expect(shown).toEqual([
    ['Bearer t', '', 'metrics'],
    ['', 'DNS:op.svc', 'console'],
  ]);
  refusal = new CoordinationError('unauthenticated', 'who?');
  expect(authorize(requestOf(), 'metrics')).toBe(401);
  refusal = new CoordinationError('permission_denied', 'no');
  expect(authorize(requestOf(), 'metrics')).toBe(403);
  refusal = new TypeError('internal error');
  expect(() => authorize(requestOf(), 'metrics')).toThrow(TypeError);
  const inClear = authorizeBy({ isPrivate: false, access: { admitToPage: () => {} } });
  expect(inClear(requestOf('Bearer t'), 'console')).toBe(403);
});
