import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DibsClient } from '../../clients/typescript/src/dibs.js';
import { RELOADED } from '../../src/config/reloads.js';
import { Caller, textOf } from '../support/caller.js';
import { type Issued, TestAuthority } from '../support/certificates.js';
import { httpsGet } from '../support/https.js';
import { Replica } from '../support/replica.js';
import type { ShownBy } from '../support/shown-by.js';
import { until } from '../support/until.js';

const authority = new TestAuthority('ours');
const stranger = new TestAuthority('a stranger');
afterAll(() => {
  authority.close();
  stranger.close();
});

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const portOf = (address: string) => Number(address.slice(address.lastIndexOf(':') + 1));
const envOf = ({ cert, key }: Issued) => ({ DIBS_TLS_CERT: cert, DIBS_TLS_KEY: key });
const trusting: ShownBy = { tls: { ca: authority.ca } };

function callerOf(replica: Replica, shownBy: ShownBy): Caller {
  const caller = new Caller(`localhost:${portOf(replica.target)}`, shownBy);
  closing.push(() => caller.close());
  return caller;
}

/** Resolves to the socket after the handshake. A TLS 1.3 server may still refuse the client after it. */
function handshake(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const ca = readFileSync(authority.ca);
    const socket = connect({ port, host: 'localhost', ca, ALPNProtocols: ['h2'], ...options }, () => {
      closing.push(() => socket.destroy());
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

const serialOf = (path: string) => new X509Certificate(readFileSync(path)).serialNumber;
const isRefused = (call: Promise<unknown>) =>
  expect(call).rejects.toMatchObject({ code: status.UNAVAILABLE });
const anyRead = { key: 'any', intent: 2 };

describe('a certificate of the service', () => {
  let replica: Replica;
  let httpsUrl: string;
  beforeAll(async () => {
    const socket = `unix://${join(authority.dir, 'dibs.sock')}`;
    const env = { ...envOf(authority.issue()), DIBS_LISTEN: `0.0.0.0:0,${socket}` };
    replica = await Replica.start(env);
    httpsUrl = `https://localhost:${portOf(replica.httpUrl)}`;
  });
  afterAll(() => replica.kill());
  const port = () => portOf(replica.target.split(',')[0] ?? '');
  const over = (shownBy: ShownBy) => {
    const caller = new Caller(`localhost:${port()}`, shownBy);
    closing.push(() => caller.close());
    return caller;
  };

  it('is presented to callers, and no call succeeds without trust in it', async () => {
    const caller = over(trusting);
    const { token } = await caller.lease({ key: 'k' });
    await caller.publishText('k', token, 'a value');
    expect(textOf(await caller.getOrLock({ key: 'k' }))).toBe('a value');
    await isRefused(over({ tls: { ca: stranger.ca } }).getOrLock(anyRead, { deadlineMs: 60_000 }));
    await isRefused(over({}).getOrLock(anyRead, { deadlineMs: 60_000 }));
  });

  it('is used for the HTTP pages too, which are open without identities', async () => {
    for (const path of ['/healthz', '/startupz', '/readyz', '/metrics', '/']) {
      expect((await httpsGet(`${httpsUrl}${path}`, trusting)).status).toBe(200);
    }
    await expect(httpsGet(`${httpsUrl}/healthz`, { tls: { ca: stranger.ca } })).rejects.toThrow();
    await expect(fetch(`http://localhost:${portOf(replica.httpUrl)}/healthz`)).rejects.toThrow();
  });

  it('does not break the health check of the image', () => {
    const check = (at: string, cert: string) => {
      const env = { ...process.env, DIBS_HTTP_LISTEN: `127.0.0.1:${portOf(at)}`, DIBS_TLS_CERT: cert };
      return spawnSync(process.execPath, ['deploy/healthcheck.mjs'], { env }).status;
    };
    expect(check(replica.httpUrl, 'tls.crt')).toBe(0);
    expect(check(replica.httpUrl, '')).toBe(1);
  });

  it('is not used on unix sockets', async () => {
    const caller = new Caller(`unix://${join(authority.dir, 'dibs.sock')}`);
    closing.push(() => caller.close());
    expect((await caller.getOrLock(anyRead)).outcome).toBeDefined();
  });

  it('is presented with TLS 1.2 and 1.3, and not with older versions', async () => {
    for (const [to, protocol] of [
      [port(), 'h2'],
      [portOf(replica.httpUrl), 'http/1.1'],
    ] as const) {
      const ALPNProtocols = [protocol];
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        const socket = await handshake(to, { minVersion: version, maxVersion: version, ALPNProtocols });
        expect(socket.getProtocol()).toBe(version);
      }
      // The client's library would not offer this by default.
      const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
      await expect(handshake(to, { ...old, ALPNProtocols })).rejects.toMatchObject({
        code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
      });
    }
  });
});

describe('a certificate of the client', () => {
  let replica: Replica;
  let httpsUrl: string;
  beforeAll(async () => {
    replica = await Replica.start({ ...envOf(authority.issue()), DIBS_TLS_CA: authority.ca });
    httpsUrl = `https://localhost:${portOf(replica.httpUrl)}`;
  });
  afterAll(() => replica.kill());

  const showing = (issued: Issued): ShownBy => ({ tls: { ca: authority.ca, ...issued } });
  const good = showing(authority.issue({ names: 'DNS:client.svc' }));
  const bad: [string, ShownBy][] = [
    ['none', trusting],
    ["another authority's", showing(stranger.issue({ names: 'DNS:client.svc' }))],
    ['an expired one', showing(authority.issue({ names: 'DNS:client.svc', days: -1 }))],
  ];

  it('gives access to gRPC and the pages', async () => {
    expect((await callerOf(replica, good).getOrLock(anyRead)).outcome).toBeDefined();
    for (const path of ['/metrics', '/']) {
      expect((await httpsGet(`${httpsUrl}${path}`, good)).status).toBe(200);
    }
  });

  it.each(bad)('gives access to probes only, if it is %s', async (_what, shownBy) => {
    await isRefused(callerOf(replica, shownBy).getOrLock(anyRead, { deadlineMs: 60_000 }));
    for (const path of ['/healthz', '/startupz', '/readyz']) {
      expect((await httpsGet(`${httpsUrl}${path}`, shownBy)).status).toBe(200);
    }
    for (const path of ['/metrics', '/', '/console/events']) {
      expect((await httpsGet(`${httpsUrl}${path}`, shownBy)).status).toBe(403);
    }
  });
});

describe('a rotation', () => {
  it('applies to new connections, and a wait on an old one still gets its answer', async () => {
    const issued = authority.issue();
    const replica = await Replica.start({ ...envOf(issued), DIBS_LOG_LEVEL: 'info' });
    closing.push(() => replica.kill());
    const [holder, waiter] = [callerOf(replica, trusting), callerOf(replica, trusting)];
    const { token } = await holder.lease({ key: 'k', leaseMs: 60_000 });
    const waiting = waiter.getOrLock({ key: 'k' }, { deadlineMs: 60_000 });
    const seen = async () => {
      const socket = await handshake(portOf(replica.target));
      return socket.getPeerCertificate().serialNumber;
    };
    expect(await seen()).toBe(serialOf(issued.cert));

    const next = authority.issue({ names: 'DNS:localhost,DNS:next.svc' });
    authority.replace(issued, next);
    await until(async () => (await seen()) === serialOf(next.cert));
    const page = await httpsGet(`https://localhost:${portOf(replica.httpUrl)}/healthz`, trusting);
    expect(page.serialNumber).toBe(serialOf(next.cert));
    await expect
      .poll(() => replica.log)
      .toMatch(new RegExp(`"subjectAltName":"DNS:localhost, DNS:next.svc".*${RELOADED.certificate}`));

    await holder.publishText('k', token, 'a value');
    expect(textOf(await waiting)).toBe('a value');
    expect(textOf(await callerOf(replica, trusting).getOrLock({ key: 'k' }))).toBe('a value');
  });

  it('to a bad certificate is refused with a log line, and the old one stays', async () => {
    const issued = authority.issue();
    const replica = await Replica.start(envOf(issued));
    closing.push(() => replica.kill());
    const before = serialOf(issued.cert);
    const bad: [Issued, RegExp][] = [
      [authority.issue({ days: -1 }), /DIBS_TLS_CERT: expired on/],
      [{ ...authority.issue(), key: authority.issue().key }, /DIBS_TLS_KEY: does not match the certificate/],
      [
        { cert: join(authority.dir, '1.csr'), key: issued.key },
        /DIBS_TLS_CERT: '.*' is not a PEM certificate/,
      ],
    ];
    for (const [next, line] of bad) {
      const told = replica.log.length;
      authority.replace(issued, next);
      replica.signal('SIGHUP');
      await until(() => line.test(replica.log.slice(told)));
      const socket = await handshake(portOf(replica.target));
      expect(socket.getPeerCertificate().serialNumber).toBe(before);
    }
    await expect.poll(() => replica.log).toMatch(RELOADED.certificateKept);
    const good = authority.issue();
    authority.replace(issued, good);
    replica.signal('SIGHUP');
    const isServed = async () =>
      (await handshake(portOf(replica.target))).getPeerCertificate().serialNumber === serialOf(good.cert);
    await until(isServed);
  });
});

it('a start with a bad certificate ends with its fault', async () => {
  const { cert } = authority.issue();
  const { key } = authority.issue();
  await expect(Replica.start({ DIBS_TLS_CERT: cert, DIBS_TLS_KEY: key })).rejects.toThrow(
    'DIBS_TLS_KEY: does not match the certificate in DIBS_TLS_CERT',
  );
});

it('the TypeScript client calls over TLS, with and without sessions', async () => {
  const replica = await Replica.start(envOf(authority.issue()));
  closing.push(() => replica.kill());
  for (const session of [true, false]) {
    const client = new DibsClient({
      ...{ target: `localhost:${portOf(replica.target)}`, tlsCa: authority.ca, session },
    });
    closing.push(() => client.close());
    const value = await client.getOrRebuild(`k-${session}`, async () => 'rebuilt', {
      ttlMs: 60_000,
    });
    expect(value).toBe('rebuilt');
  }
});
