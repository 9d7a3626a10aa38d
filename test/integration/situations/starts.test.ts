import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Degraded } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { LOG } from '../../../src/telemetry/log-texts.js';
import { Caller } from '../../support/caller.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { linesOf } from '../../support/log-lines.js';
import { oneProcess } from '../../support/one-process.js';
import { opened } from '../../support/opened.js';
import { PATIENT_ENV } from '../../support/patience.js';
import { freePort, type RedisServer } from '../../support/redis-server.js';
import { Replica } from '../../support/replica.js';

// Starts and lock nodes: what the log reports, and what it does not.

const PATIENCE = { timeout: 30_000, interval: 200 };
const LOUD = ['warn', 'error', 'fatal'];

it('faults of the configuration', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-starts-'));
  const policies = join(folder, 'policies.yaml');
  writeFileSync(policies, 'namespaces: { shop: { on_los: fail }, "a b": {} }');
  const { output, ended } = oneProcess({
    DIBS_CONFIG: policies,
    DIBS_WAITERS: '0',
    DIBS_LOG_LEVEL: 'silent',
  });
  expect(await ended).toBe(1);
  const [line, ...more] = output.stderr.trimEnd().split('\n');
  expect(more).toEqual([]);
  expect(JSON.parse(line ?? '')).toMatchObject({
    level: 'fatal',
    msg: expect.stringMatching('cannot start'),
    faults: [
      expect.stringMatching(/^DIBS_WAITERS: '0' is not a whole number within 1 to/),
      expect.stringMatching(/^DIBS_CONFIG: namespaces\.shop: on_los: not known; known are .*on_loss/),
      expect.stringMatching(/^DIBS_CONFIG: namespaces \(name 2\): is not a namespace: 1 to 64/),
    ],
  });
  rmSync(folder, { recursive: true });
});

describeWithRedis('starts and lock nodes', () => {
  const { closes, redis } = opened();

  async function start(urls: readonly string[], storeUrl: string, env: Record<string, string> = {}) {
    const fleet = { DIBS_QUORUM_NODES: urls.join(','), DIBS_STORE_URL: storeUrl };
    const replica = await Replica.start({ ...fleet, DIBS_LOG_LEVEL: 'info', ...env });
    closes(() => replica.kill());
    const caller = new Caller(replica.target);
    closes(() => caller.close());
    let keys = 0;
    const ask = async () => {
      keys += 1;
      const { outcome, degraded } = await caller.getOrLock({ key: `k${keys}`, waitMs: 0, leaseMs: 500 });
      return `${outcome?.$case} ${Degraded[degraded]}`;
    };
    const metrics = async () => (await fetch(`${replica.httpUrl}/metrics`)).text();
    /** The line may appear after its cause. */
    const lineOf = async (text: string) => {
      const find = () => linesOf(replica).find(({ msg }) => msg === text);
      await expect.poll(find, PATIENCE).toBeDefined();
      return find();
    };
    return { replica, caller, ask, metrics, lineOf };
  }

  const urlsOf = (nodes: readonly RedisServer[]) => nodes.map(({ url }) => url);

  it('a healthy first start, and a normal stop', async () => {
    const nodes = [await redis(), await redis(), await redis(), await redis(), await redis()];
    // A server that is late on a busy machine would be worth a line.
    const { replica, caller, metrics } = await start(urlsOf(nodes), (await redis()).url, PATIENT_ENV);
    const { token } = await caller.lease({ key: 'k' });
    await caller.publishText('k', token, 'v');
    expect((await caller.getOrLock({ key: 'k' })).degraded).toBe(Degraded.DEGRADED_NONE);
    expect(await metrics()).toMatch(/dibs_info\{mode="quorum",version="[^"]+"\} 1\n/);
    replica.signal('SIGTERM');
    expect(await replica.ended).toEqual({ code: 0, signal: null });
    expect(linesOf(replica).filter(({ level }) => LOUD.includes(String(level)))).toEqual([]);
  });

  it('a first start with one lock node missing', async () => {
    const missing = await freePort();
    const urls = [...urlsOf([await redis(), await redis()]), `redis://127.0.0.1:${missing}`];
    const { ask, lineOf } = await start(urls, (await redis()).url, { DIBS_LEASE_MAX_MS: '20000' });
    await expect.poll(ask, PATIENCE).toBe('lease DEGRADED_QUORUM_LOST');
    expect(await lineOf(LOG.quorumWaits)).toMatchObject({
      level: 'warn',
      missing: [`127.0.0.1:${missing}`],
      waitMsMax: 20_000,
    });
    await expect.poll(ask, { timeout: 60_000, interval: 500 }).toBe('lease DEGRADED_NONE');
  });

  it('a lock node at an IPv6 address', async () => {
    const urls = [...urlsOf([await redis(), await redis()]), `redis://[::1]:${await freePort()}`];
    const { metrics, ask } = await start(urls, (await redis()).url, { DIBS_LEASE_MAX_MS: '1000' });
    await expect.poll(ask, PATIENCE).toBe('lease DEGRADED_NONE');
    expect(await metrics()).toMatch(/dibs_quorum_vote_seconds_count\{node="\[::1\]:\d+",vote="missing"\}/);
  });

  it('the value store is a lock node too', async () => {
    const nodes = [await redis(), await redis(), await redis()];
    const { ask, lineOf } = await start(urlsOf(nodes), `redis://localhost:${nodes[1]?.port}`);
    await expect.poll(ask, PATIENCE).toBe('lease DEGRADED_NONE');
    expect(await lineOf(LOG.storeIsLockNode)).toMatchObject({
      level: 'warn',
      node: `127.0.0.1:${nodes[1]?.port}`,
    });
  });

  it('a lock node that may evict', async () => {
    const nodes = [await redis(), await redis(), await redis('--maxmemory-policy', 'allkeys-lru')];
    const { ask, metrics, lineOf } = await start(urlsOf(nodes), (await redis()).url, {
      DIBS_LEASE_MAX_MS: '1000',
    });
    expect((await lineOf(LOG.lockNodeNotVoting)) !== undefined).toBe(true);
    await expect.poll(ask, PATIENCE).toBe('lease DEGRADED_NONE');
    expect(await metrics()).toMatch('dibs_quorum_nodes{state="evicting"} 1\n');
  });

  it('a lock node that hangs', async () => {
    const nodes = [await redis(), await redis(), await redis()];
    const { replica, ask, metrics } = await start(urlsOf(nodes), (await redis()).url);
    await expect.poll(metrics, PATIENCE).toMatch('dibs_quorum_nodes{state="voting"} 3\n');
    nodes[0]?.hang();
    // After DIBS_SILENCE_MS the replica connects again, and the state is `connecting`.
    const saidAfterAsking = async () => {
      expect(await ask()).toBe('lease DEGRADED_NONE');
      return linesOf(replica).map(({ node, to }) => `${node} ${to}`);
    };
    await expect.poll(saidAfterAsking, PATIENCE).toContain(`127.0.0.1:${nodes[0]?.port} suspect`);
    expect(await metrics()).toMatch(/dibs_quorum_nodes\{state="(?:suspect|connecting)"\} 1\n/);
  });

  it('a lock node that came back empty', async () => {
    const nodes = [await redis(), await redis(), await redis()];
    const { replica, ask, metrics } = await start(urlsOf(nodes), (await redis()).url);
    await nodes[0]?.restart();
    await expect.poll(metrics, PATIENCE).toMatch('dibs_quorum_nodes{state="waiting"} 1\n');
    await expect.poll(ask, PATIENCE).toBe('lease DEGRADED_NONE');
    expect(linesOf(replica).map(({ why }) => why)).toContainEqual(
      expect.stringMatching(/may have forgotten leases; votes again in \d+ ms/),
    );
  });

  it('two fleets share their lock nodes, and each has its own store', async () => {
    const urls = urlsOf([await redis(), await redis(), await redis()]);
    // With late lock nodes, a store alone would give a lease.
    const first = await start(urls, (await redis()).url, PATIENT_ENV);
    const second = await start(urls, (await redis()).url, PATIENT_ENV);
    await first.caller.lease({ key: 'shared', leaseMs: 60_000 });
    const ask = async () => {
      const { outcome } = await second.caller.getOrLock({ key: 'shared', waitMs: 0 });
      expect(outcome).toMatchObject({ $case: 'busy', value: { reason: 3 } });
      return linesOf(second.replica).find(({ msg }) => msg === LOG.undecided);
    };
    await expect.poll(ask, { timeout: 40_000, interval: 500 }).toBeDefined();
    expect(await ask()).toMatchObject({
      why: expect.stringMatching(/use these lock nodes with another store/),
    });
    expect(await second.metrics()).toMatch('dibs_undecided 1\n');
    await second.caller.lease({ key: 'another' });
    expect(await second.lineOf(LOG.decided)).toMatchObject({ level: 'info' });
    expect(await second.metrics()).toMatch('dibs_undecided 0\n');
  });

  it('a call that ends with an error', async () => {
    const nodes = [await redis(), await redis(), await redis()];
    const { caller, metrics } = await start(urlsOf(nodes), (await redis()).url);
    await expect(caller.getOrLock({ key: '' })).rejects.toThrow('INVALID_ARGUMENT');
    expect(await metrics()).toMatch('dibs_call_errors_total{method="GetOrLock",code="INVALID_ARGUMENT"} 1\n');
  });
});
