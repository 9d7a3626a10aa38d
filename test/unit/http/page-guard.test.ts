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

it('shows the metrics to all if there are no identities, and the console if no one can listen', () => {
  const inClear = authorizeBy({ isPrivate: false });
  expect(inClear(requestOf(), 'metrics')).toBe(200);
  expect(inClear(requestOf(), 'console')).toBe(403);
  for (const parts of [{ isPrivate: true }, { isPrivate: true, tls }]) {
    for (const page of ['metrics', 'console'] as const) {
      expect(authorizeBy(parts)(requestOf(), page)).toBe(200);
    }
  }
});

it('wants a verified certificate where there is an authority for it', () => {
  const authorize = authorizeBy({ isPrivate: true, tls: withCa });
  for (const page of ['metrics', 'console'] as const) {
    expect(authorize(requestOf(), page)).toBe(403);
    expect(authorize(requestOf(undefined, true), page)).toBe(200);
  }
});

it('asks access with what is shown, and with no name of a certificate that was not verified', () => {
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
  refusal = new TypeError('a fault of ours');
  expect(() => authorize(requestOf(), 'metrics')).toThrow(TypeError);
  const inClear = authorizeBy({ isPrivate: false, access: { admitToPage: () => {} } });
  expect(inClear(requestOf('Bearer t'), 'console')).toBe(403);
});
