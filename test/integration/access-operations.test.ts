import { writeFileSync } from 'node:fs';
import { status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DibsClient } from '../../clients/typescript/src/dibs.js';
import { RELOADED } from '../../src/config/reloads.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { AccessTrial, AUTH_FILE, namespace, sha256 } from '../support/access-trial.js';
import { httpsGet } from '../support/https.js';
import { Replica } from '../support/replica.js';
import type { SessionCaller } from '../support/session-caller.js';
import { until } from '../support/until.js';

const denied = { code: status.PERMISSION_DENIED };
const unauthenticated = { code: status.UNAUTHENTICATED };

let trial: AccessTrial;
beforeAll(async () => {
  trial = await AccessTrial.start();
});
afterAll(() => trial.stop());
afterEach(() => trial.closeAll());

describe('the pages', () => {
  const basic = (password: string) => `Basic ${Buffer.from(`me:${password}`).toString('base64')}`;

  it('are open to identities that may explain everything, and probes to all callers', async () => {
    const url = trial.httpsUrl;
    const trusting = { tls: { ca: trial.authority.ca } };
    for (const path of ['/healthz', '/startupz', '/readyz']) {
      expect((await httpsGet(`${url}${path}`, trusting)).status).toBe(200);
    }
    for (const path of ['/metrics', '/', '/console/events']) {
      const anonymous = await httpsGet(`${url}${path}`, trusting);
      expect(anonymous.status).toBe(401);
      expect(anonymous.headers['www-authenticate']).toMatch(/^Basic /);
      expect((await httpsGet(`${url}${path}`, { ...trusting, token: 'wrong' })).status).toBe(401);
      expect((await httpsGet(`${url}${path}`, { ...trusting, token: 'checkout' })).status).toBe(403);
    }
    for (const path of ['/metrics', '/']) {
      expect((await httpsGet(`${url}${path}`, { ...trusting, token: 'operator' })).status).toBe(200);
      const authorization = basic('operator');
      expect((await httpsGet(`${url}${path}`, trusting, { authorization })).status).toBe(200);
    }
  });
});

it('the log has a line for each denial and each invalidation, without keys', async () => {
  const keys = ['alice@example.com'];
  await trial.by('checkout').invalidate({ namespace, keys, tags: ['t1', 't2'], mode: 2 });
  await expect(trial.by('only-read').invalidate({ namespace, keys })).rejects.toMatchObject(denied);
  await expect(trial.by('wrong').invalidate({ namespace, keys })).rejects.toMatchObject(unauthenticated);
  await until(() => trial.replica.log.includes(`"method":"Invalidate","msg":"${LOG.auditUnauthenticated}"`));
  const { log } = trial.replica;
  const told = log.split('\n').flatMap((line) => (line.includes('"audit: ') ? [JSON.parse(line)] : []));
  const counts = { namespace, keys: 1, tags: 2, all: false, mode: 'mark_stale' };
  for (const line of [
    { level: 'info', identity: 'checkout', ...counts, msg: LOG.auditInvalidated },
    {
      ...{ level: 'warn', identity: 'only-read', method: 'Invalidate', namespace, permission: 'invalidate' },
      msg: LOG.auditDenied,
    },
    { level: 'warn', identity: '', method: 'Invalidate', msg: LOG.auditUnauthenticated },
  ]) {
    expect(told).toContainEqual({ ...line, time: expect.any(String) });
  }
  expect(log).not.toMatch('alice@example.com');
});

it('the TypeScript client sends its token over TLS, and a wrong one is an error', async () => {
  const own = trial.authority.issue();
  const other = await Replica.start({
    ...{ DIBS_AUTH_FILE: trial.authFile, DIBS_TLS_CERT: own.cert, DIBS_TLS_KEY: own.key },
  });
  const of = (token: string, session: boolean) => {
    const to = `localhost:${other.target.split(':').at(-1)}`;
    const client = new DibsClient({ target: to, tlsCa: trial.authority.ca, token, session, namespace });
    trial.closed(client);
    return client.getOrRebuild(`k ${token} ${session}`, async () => 'rebuilt', {
      ttlMs: 60_000,
    });
  };
  try {
    for (const session of [true, false]) {
      expect(await of('checkout', session)).toBe('rebuilt');
      await expect(of('wrong', session)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
      await expect(of('only-read', session)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    }
  } finally {
    await other.kill();
  }
});

describe('a change of the auth file', () => {
  const read = (key: string) => ({ namespace, key, intent: 2, waitMs: 0 });

  it('revokes a token of an open session, at once and for good', async () => {
    const [old, fresh] = [
      await trial.session('checkout-old', { watchedNamespaces: [namespace] }),
      await trial.session('checkout'),
    ];
    const codeOf = async (of: SessionCaller) => {
      const reply = await of.replyTo(of.get(read('any')));
      return reply.$case === 'error' ? reply.value.code : status.OK;
    };
    expect([await codeOf(old), await codeOf(fresh)]).toEqual([status.OK, status.OK]);
    const replicaReads = trial.replica.log.length;
    writeFileSync(trial.authFile, AUTH_FILE.replace(`${sha256('checkout-old')}, `, ''));
    await until(async () => (await codeOf(old)) === status.UNAUTHENTICATED);
    // The line and the reply arrive in either order.
    await until(() => trial.replica.log.slice(replicaReads).includes(RELOADED.identities));
    expect(await codeOf(fresh)).toBe(status.OK);
    await until(() => old.events.some(({ event }) => event?.$case === 'draining'));
    await expect(trial.by('checkout-old').getOrLock(read('any'))).rejects.toMatchObject(unauthenticated);
    // The session does not get events of changes any more, either.
    const heard = old.events.length;
    const listening = await trial.session('only-read', { watchedNamespaces: [namespace] });
    await trial.by('checkout').invalidate({ namespace, keys: ['unheard'] });
    await until(() => listening.events.length > 0);
    expect(old.events).toHaveLength(heard);
  });

  it('moves a client to its new token without a failed call or a lost lease', async () => {
    writeFileSync(trial.authFile, AUTH_FILE);
    trial.replica.signal('SIGHUP');
    await until(() =>
      trial
        .by('checkout-old')
        .getOrLock(read('any'))
        .then(Boolean, () => false),
    );
    let token = 'checkout-old';
    const [outcomes, lost]: [string[], unknown[]] = [[], []];
    const client = new DibsClient({
      ...{ target: trial.socket, namespace, token: () => token },
      hooks: {
        onPublish: ({ outcome }) => void outcomes.push(outcome),
        onLeaseLost: (it) => void lost.push(it),
      },
    });
    trial.closed(client);
    const options = { ttlMs: 60_000, onUnavailable: 'fail' } as const;
    let open = (_: string) => {};
    const gate = new Promise<string>((resolve) => {
      open = resolve;
    });
    // Extended every two seconds.
    const rebuilt = client.getOrRebuild('slow', () => gate, { ...options, leaseMs: 6_000 });
    await client.getOrRebuild('before', () => 'v', options);
    token = 'checkout';
    writeFileSync(trial.authFile, AUTH_FILE.replace(`${sha256('checkout-old')}, `, ''));
    trial.replica.signal('SIGHUP');
    await until(() =>
      trial
        .by('checkout-old')
        .getOrLock(read('any'))
        .then(
          () => false,
          () => true,
        ),
    );
    for (let at = 0; at < 50; at += 1) {
      expect(await client.getOrRebuild(`after ${at}`, () => 'v', options)).toBe('v');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    open('slow');
    expect(await rebuilt).toBe('slow');
    expect([outcomes.at(-1), lost]).toEqual(['stored', []]);
    writeFileSync(trial.authFile, AUTH_FILE);
    trial.replica.signal('SIGHUP');
  });

  it('with a fault is refused with a log line, and the old permissions stay', async () => {
    writeFileSync(trial.authFile, 'identities: { checkout: { tokens: [secret] } }');
    trial.replica.signal('SIGHUP');
    const said = ['identities.checkout.tokens.0: is not sha256:', RELOADED.identitiesKept];
    await until(() => said.every((line) => trial.replica.log.includes(line)));
    await trial.by('checkout').getOrLock(read('any'));
    writeFileSync(trial.authFile, AUTH_FILE);
    trial.replica.signal('SIGHUP');
    await until(async () => {
      try {
        return (await trial.by('checkout-old').getOrLock(read('any'))) !== undefined;
      } catch {
        return false;
      }
    });
  });
});
