import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { Caller } from '../../support/caller.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { type OneProcess, oneProcess } from '../../support/one-process.js';
import { freePort, RedisServer } from '../../support/redis-server.js';

// Puts secrets everywhere they can be configured. None may leave the process, not even at `debug`.

const folder = mkdtempSync(join(tmpdir(), 'dibs-secrets-'));
afterAll(() => rmSync(folder, { recursive: true }));
const sha256 = (token: string) => `sha256:${createHash('sha256').update(token).digest('hex')}`;
const identitiesOf = (tokens: string) =>
  `identities: { one: { tokens: [${tokens}], permissions: { '*': [read, lease, publish, explain] } } }`;
const processes: OneProcess[] = [];
afterEach(() => {
  for (const { child } of processes.splice(0)) child.kill('SIGKILL');
});

async function listening(env: Readonly<Record<string, string>>) {
  const started = oneProcess(env);
  processes.push(started);
  await expect.poll(() => started.output.stdout, { timeout: 60_000 }).toMatch('dibs listening');
  const [, target = '', http = ''] = /grpc=(\S+) http=(\S+)/.exec(started.output.stdout) ?? [];
  return { ...started, target, http };
}

it('an auth file with an unhashed token behind an unknown tag, at any log level', async () => {
  const path = join(folder, 'tagged.yaml');
  for (const level of ['silent', 'debug']) {
    writeFileSync(path, identitiesOf(`'${sha256('good')}'`));
    const { output } = await listening({ DIBS_AUTH_FILE: path, DIBS_LOG_LEVEL: level });
    writeFileSync(path, identitiesOf('!secret my-token'));
    // The file is read every two seconds.
    if (level === 'debug') await expect.poll(() => output.stderr).toMatch('not reloaded');
    else await new Promise((resolve) => setTimeout(resolve, 5_000));
    expect(output.stderr).not.toMatch('my-token');
    if (level === 'silent') expect(output.stderr).toBe('');
    else expect(output.stderr).toMatch('TAG_RESOLVE_FAILED at line 1');
  }
});

describeWithRedis('a replica with secrets everywhere', () => {
  const servers: RedisServer[] = [];
  afterAll(() => Promise.all(servers.map((server) => server.stop())));

  async function redis(...args: string[]): Promise<RedisServer> {
    const server = await RedisServer.start({ args });
    servers.push(server);
    return server;
  }

  it('prints none of them', async () => {
    const [good, wrong, unknowing] = [
      await redis(),
      await redis(),
      await redis('--rename-command', 'AUTH', ''),
    ];
    await wrong.command('CONFIG', 'SET', 'requirepass', 'secret-right');
    const authFile = join(folder, 'auth.yaml');
    writeFileSync(authFile, identitiesOf(`'${sha256('secret-token')}'`));
    const { child, ended, output, target, http } = await listening({
      DIBS_LOG_LEVEL: 'debug',
      DEBUG: '*',
      DIBS_QUORUM_NODES: [good, wrong, unknowing]
        .map(({ port }) => `redis://:secret-password@127.0.0.1:${port}`)
        .join(','),
      DIBS_STORE_URL: `redis://secret-user:secret-password@127.0.0.1:${wrong.port}`,
      DIBS_AUTH_FILE: authFile,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://secret-me:secret-collector@127.0.0.1:${await freePort()}`,
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=secret-header',
      OTEL_METRIC_EXPORT_INTERVAL: '500',
      OTEL_TRACES_SAMPLER: 'always_on',
    });
    const known = new Caller(target, { token: 'secret-token' });
    const { token } = await known.lease({ key: 'secret-key', leaseMs: 1_000 });
    const payload = { $case: 'value', value: Buffer.from('secret-value') } as const;
    await known.publish({ key: 'secret-key', token, payload, ttlMs: 1_000 }).catch(() => {});
    const stranger = new Caller(target, { token: 'secret-other' });
    await expect(stranger.getOrLock({ key: 'secret-key' })).rejects.toThrow('UNAUTHENTICATED');
    const headers = { authorization: 'Bearer secret-token' };
    const page = await (await fetch(`http://${http}/metrics`, { headers })).text();
    expect(page).toMatch('dibs_publish');
    await expect.poll(() => output.stderr).toMatch('OpenTelemetry reports a problem');
    expect(output.stderr).toMatch(/WRONGPASS|NOAUTH/);
    known.close();
    stranger.close();
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
    const all = output.stdout + output.stderr + page;
    expect(all.match(/.{0,80}secret-.{0,20}/g) ?? []).toEqual([]);
    expect(all).not.toMatch(token);
    expect(all).not.toMatch(Buffer.from('secret-me:secret-collector').toString('base64'));
    for (const line of output.stderr.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('level');
  });
});
