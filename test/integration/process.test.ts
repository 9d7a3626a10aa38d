import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { RELOADED } from '../../src/config/reloads.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { Caller } from '../support/caller.js';
import { oneProcess } from '../support/one-process.js';
import { Replica } from '../support/replica.js';

// The process from outside: its output, its exit code, and how it handles signals.

it('a process with a wrong configuration ends with code 1, prints every fault, and serves nothing', async () => {
  const { output, ended } = oneProcess({
    DIBS_LEASE_MS: '0',
    DIBS_QUORUM_NODES: 'redis://me:secret@a',
    DIBS_AUTH_FILE: '/etc/dibs/auth.yaml',
    DIBS_LISTEN: '0.0.0.0:0',
  });
  expect(await ended).toBe(1);
  expect(output.stdout).toBe('');
  for (const fault of [
    "DIBS_LEASE_MS: '0' is not a whole number within 100 to 60000",
    "DIBS_LISTEN: '0.0.0.0:0' is reachable from other machines",
    'DIBS_QUORUM_NODES: is set while DIBS_STORE_URL is not',
    'DIBS_QUORUM_NODES: lists 1 node(s)',
    "DIBS_AUTH_FILE: '/etc/dibs/auth.yaml' cannot be read",
  ]) {
    expect(output.stderr).toMatch(fault);
  }
  expect(output.stderr).not.toMatch('secret');
});

it('a process that cannot listen ends with code 1 and names the address', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  for (const name of ['DIBS_LISTEN', 'DIBS_HTTP_LISTEN']) {
    const { output, ended } = oneProcess({ [name]: `127.0.0.1:${port}` });
    expect(await ended).toBe(1);
    expect(output.stderr).toMatch(
      `cannot listen at 127.0.0.1:${port}: listen EADDRINUSE: address already in use`,
    );
    expect(output.stdout).toBe('');
  }
  taken.close();
});

it('a process that serves prints one line on standard output, and logs to standard error', async () => {
  const { child, output, ended } = oneProcess({});
  await expect
    .poll(() => output.stdout)
    .toMatch(/^dibs listening grpc=127\.0\.0\.1:\d+ http=127\.0\.0\.1:\d+ mode=embedded\n$/);
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(output.stdout.trimEnd().split('\n')).toHaveLength(1);
  for (const line of output.stderr.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('level');
});

it.each(['SIGTERM', 'SIGINT'] as const)(
  'on %s a process answers all waiters and ends with code 0',
  async (signal) => {
    const replica = await Replica.start();
    const caller = new Caller(replica.target);
    await caller.lease({ key: 'held', leaseMs: 60_000 });
    const waiting = Array.from({ length: 50 }, () => caller.getOrLock({ key: 'held' }));
    await expect
      .poll(async () => (await fetch(`${replica.httpUrl}/metrics`)).text())
      .toMatch('dibs_waiters 50\n');
    replica.signal(signal);
    for (const answer of await Promise.all(waiting)) {
      expect(answer.outcome).toMatchObject({ $case: 'busy', value: { reason: 5, retryAfterMs: 0 } });
    }
    caller.close();
    expect(await replica.ended).toEqual({ code: 0, signal: null });
  },
);

it('a process takes over the socket of a killed process, but not of a living one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-socket-'));
  const path = join(folder, 'dibs.sock');
  const env = { DIBS_LISTEN: `unix://${path}` };
  const killed = await Replica.start(env);
  await killed.kill();
  expect(existsSync(path)).toBe(true);
  const living = await Replica.start(env);
  expect(living.target).toBe(`unix://${path}`);
  const { output, ended } = oneProcess(env);
  expect(await ended).toBe(1);
  expect(output.stderr).toMatch('cannot listen at unix://');
  const caller = new Caller(living.target);
  await caller.lease({ key: 'by socket' });
  caller.close();
  living.signal('SIGTERM');
  expect((await living.ended).code).toBe(0);
  rmSync(folder, { recursive: true });
});

it('on SIGHUP a process reads its policies again, and keeps the old ones if the new ones have faults', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-reload-'));
  const file = join(folder, 'dibs.yaml');
  const stale = (serve: string) => writeFileSync(file, `namespaces: { default: { stale: ${serve} } }`);
  stale('allow');
  const replica = await Replica.start({ DIBS_CONFIG: file, DIBS_LOG_LEVEL: 'info' });
  const caller = new Caller(replica.target);
  const { token } = await caller.lease({ key: 'k' });
  const payload = { $case: 'value', value: Buffer.from('v') } as const;
  await caller.publish({ key: 'k', token, payload, ttlMs: 1, staleMs: 60_000 });
  // Another caller rebuilds, so a caller without stale values waits.
  await expect.poll(async () => (await ask()).outcome?.$case).toBe('lease');

  async function ask() {
    return caller.getOrLock({ key: 'k', waitMs: 0, leaseMs: 60_000 });
  }
  async function reload(said: string): Promise<void> {
    const before = replica.log.split(said).length;
    replica.signal('SIGHUP');
    await expect.poll(() => replica.log.split(said).length).toBe(before + 1);
  }

  expect((await ask()).outcome?.$case).toBe('hit');
  stale('forbid');
  expect((await ask()).outcome?.$case).toBe('hit');
  await reload(LOG.policiesReloaded);
  expect((await ask()).outcome?.$case).toBe('busy');
  stale('sometimes');
  await reload('has faults');
  await expect.poll(() => replica.log).toContain('namespaces.default.stale');
  expect((await ask()).outcome?.$case).toBe('busy');
  stale('allow');
  await reload(LOG.policiesReloaded);
  expect((await ask()).outcome?.$case).toBe('hit');
  caller.close();
  await replica.kill();
  rmSync(folder, { recursive: true });
});

it('on SIGHUP a process reads its policies again although another file has faults', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-reload-'));
  const [file, identities] = [join(folder, 'dibs.yaml'), join(folder, 'auth.yaml')];
  writeFileSync(file, 'namespaces: {}');
  writeFileSync(identities, 'identities: {}');
  const env = { DIBS_CONFIG: file, DIBS_AUTH_FILE: identities, DIBS_LOG_LEVEL: 'info' };
  const replica = await Replica.start(env);
  writeFileSync(identities, 'identities: { one: { waiters: 0 } }');
  replica.signal('SIGHUP');
  await expect.poll(() => replica.log).toContain(RELOADED.identitiesKept);
  await expect.poll(() => replica.log).toContain(LOG.policiesReloaded);
  expect(replica.log).not.toContain(LOG.policiesKept);
  await replica.kill();
  rmSync(folder, { recursive: true });
});
