import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestAuthority } from '../../../test/support/certificates.js';
import type { DibsClientOptions } from '../src/options.js';
import { freshKey, Service } from './service.js';

// When a process ends by itself. Real processes, with the built package.

const execute = promisify(execFile);
const folder = fileURLToPath(new URL('..', import.meta.url));
const NEAR: DibsClientOptions = { nearCache: { maxBytes: 1_000_000 } };
let service: Service;

beforeAll(async () => {
  service = await Service.start();
});
afterAll(() => service?.stop());

/** Returns the output of a process that ends by itself. One that does not is killed, which rejects. */
async function said(
  options: DibsClientOptions,
  body: string,
  env: Record<string, string> = { DIBS_TARGET: service.target },
): Promise<string> {
  const program = `
    import { setTimeout as pause } from 'node:timers/promises';
    import { DibsClient } from '@dibs/client';
    const dibs = new DibsClient(${JSON.stringify(options)});
    const ttlMs = 60_000;
    ${body}
  `;
  const { stdout } = await execute(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: folder,
    env: { ...process.env, ...env },
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  return stdout.trim();
}

describe.each<[string, DibsClientOptions]>([
  ['a session', {}],
  ['a near cache', NEAR],
  ['unary calls', { session: false }],
])('a process with %s', (_, options) => {
  it('ends by itself when nothing is under way', async () => {
    const key = JSON.stringify(freshKey());
    const body = `
      await dibs.ready();
      console.log(await dibs.getOrRebuild(${key}, () => 1, { ttlMs }), await dibs.getOrRebuild(${key}, () => 2, { ttlMs }));
    `;
    expect(await said(options, body)).toBe('1 1');
  });

  it('waits for the call that is under way', async () => {
    const key = freshKey();
    const holder = service.client();
    const lease = await holder.getOrLock({ key, leaseMs: 60_000 });
    if (lease.kind !== 'lease') throw new Error(lease.kind);
    const told = said(
      options,
      `console.log(await dibs.getOrRebuild(${JSON.stringify(key)}, () => 'own', { ttlMs }));`,
    );
    while ((await holder.explain(key)).waiters === 0) await new Promise((soon) => setTimeout(soon, 10));
    // Longer than an ending process keeps an idle session.
    await new Promise((later) => setTimeout(later, 300));
    const value = Buffer.from(JSON.stringify('theirs'));
    await holder.publish({ key, token: lease.token, value, ttlMs: 60_000 });
    expect(await told).toBe('theirs');
  });

  it('finishes its background work', async () => {
    const key = freshKey();
    const client = service.client();
    await client.getOrRebuild(key, () => 'old', { ttlMs: 1, staleMs: 60_000 });
    await new Promise((over) => setTimeout(over, 10));
    const rebuild = `async () => { await pause(200); return 'new'; }`;
    const body = `console.log(await dibs.getOrRebuild(${JSON.stringify(key)}, ${rebuild}, { ttlMs, staleMs: ttlMs }));`;
    expect(await said(options, body)).toBe('old');
    expect(await client.get(key, { stale: 'forbid' })).toBe('new');
  });

  it('ends by itself without a service', async () => {
    const body = `console.log(await dibs.getOrRebuild('a', () => 1, { ttlMs }));`;
    expect(await said(options, body, { DIBS_TARGET: '127.0.0.1:1' })).toBe('1');
  });
});

it('a process ends by itself over TLS too', async () => {
  const authority = new TestAuthority();
  const { cert, key } = authority.issue();
  const secure = await Service.start({ DIBS_TLS_CERT: cert, DIBS_TLS_KEY: key });
  try {
    const env = { DIBS_TARGET: secure.target.replace('127.0.0.1', 'localhost'), DIBS_TLS_CA: authority.ca };
    expect(await said(NEAR, `console.log(await dibs.getOrRebuild('a', () => 1, { ttlMs }));`, env)).toBe('1');
  } finally {
    await secure.stop();
    authority.close();
  }
});

it('`await using` waits for background work, and closes', async () => {
  const key = freshKey();
  const client = service.client();
  const before = service.client();
  await before.getOrRebuild(key, () => 'old', { ttlMs: 1, staleMs: 60_000 });
  await new Promise((over) => setTimeout(over, 10));
  await client.getOrRebuild(
    key,
    async () => {
      await new Promise((later) => setTimeout(later, 100));
      return 'new';
    },
    { ttlMs: 60_000, staleMs: 60_000 },
  );
  await client[Symbol.asyncDispose]();
  expect(await before.get(key, { stale: 'forbid' })).toBe('new');
  await expect(client.get(key)).rejects.toThrow('this client is closed');
});
