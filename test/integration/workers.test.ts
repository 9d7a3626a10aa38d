import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RELOADED } from '../../src/config/reloads.js';
import type { ConsoleState } from '../../src/http/console-state.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { METRICS, WORKER_METRICS } from '../../src/telemetry/names.js';
import { sha256 } from '../support/access-trial.js';
import { Caller, textOf } from '../support/caller.js';
import { TestAuthority } from '../support/certificates.js';
import { childrenOf, isRunning } from '../support/children-of.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { linesOf } from '../support/log-lines.js';
import { opened } from '../support/opened.js';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp/receiver.js';
import { Replica } from '../support/replica.js';
import { until } from '../support/until.js';
import { waitersOf } from '../support/waiters.js';

// Workers are processes, so only real ones show how they share connections and metrics, and how they end.

/** How long a machine with a load of 40 takes to start a process. */
const START_MS_MAX = 60_000;

const folder = mkdtempSync(join(tmpdir(), 'dibs-workers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describeWithRedis('two workers', () => {
  const { closes } = opened();
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await Fleet.start({ replicas: 0, lockNodes: 3, env: { DIBS_LOG_LEVEL: 'info' } });
  });
  afterAll(() => fleet.stop());

  async function started(env: Record<string, string> = {}): Promise<Replica> {
    const replica = await fleet.addReplica({ DIBS_WORKERS: '2', ...env });
    closes(() => replica.kill());
    return replica;
  }

  /** Connects two callers. The second connection goes to the worker that has none. */
  async function twoCallers(target: string): Promise<[Caller, Caller]> {
    const callers = [new Caller(target), new Caller(target)] as [Caller, Caller];
    for (const caller of callers) {
      closes(() => caller.close());
      await caller.connect();
    }
    return callers;
  }

  const metricsOf = async ({ httpUrl }: Replica) => (await fetch(`${httpUrl}/metrics`)).text();
  const statusOf = async ({ httpUrl }: Replica, path: string) => (await fetch(`${httpUrl}${path}`)).status;

  /** Returns the sum of all series of the metric whose labels contain `labels`. */
  function figure(text: string, metric: string, labels = ''): number {
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith(`${metric}{`) || line.startsWith(`${metric} `));
    const figures = lines
      .filter((line) => line.includes(labels))
      .map((line) => Number(line.split(' ').at(-1)));
    return figures.reduce((sum, one) => sum + one, 0);
  }

  it('share one free port, and each gets half of the connections', async () => {
    const replica = await started();
    expect(replica.target).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    expect(childrenOf(replica.pid)).toHaveLength(2);
    const [one, other] = await twoCallers(replica.target);
    const { token } = await one.lease({ key: 'shared' });
    const waiting = other.getOrLock({ key: 'shared', waitMs: 30_000 });
    await until(async () => (await waitersOf(replica.httpUrl)) === 1, 30_000);
    await one.publishText('shared', token, 'once');
    expect(textOf(await waiting)).toBe('once');
    // Both see the same lock nodes.
    const voting = async () => figure(await metricsOf(replica), METRICS.quorumNodes, 'state="voting"');
    await expect.poll(voting).toBe(3);
    for (const path of ['/healthz', '/startupz', '/readyz']) expect(await statusOf(replica, path)).toBe(200);
    const text = await metricsOf(replica);
    expect(figure(text, METRICS.getOrLock)).toBe(2);
    expect(figure(text, METRICS.info)).toBe(1);
    expect(figure(text, WORKER_METRICS.workers, 'state="serving"')).toBe(2);
    expect(figure(text, METRICS.wait.concat('_count'))).toBe(1);
  });

  it('appear as one replica in the console', async () => {
    const replica = await started();
    const [one, other] = await twoCallers(replica.target);
    await one.lease({ key: 'a' });
    await other.lease({ key: 'b' });
    const leaving = new AbortController();
    closes(() => leaving.abort());
    const { body } = await fetch(`${replica.httpUrl}/console/events`, { signal: leaving.signal });
    const { value } = (await body?.getReader().read()) ?? {};
    const state: ConsoleState = JSON.parse(new TextDecoder().decode(value).replace(/^data: /, ''));
    expect(state.replica).toMatchObject({
      pid: replica.pid,
      grpc: [replica.target],
      workers: { serving: 2, of: 2 },
    });
    expect(state.held.leases.map(({ key }) => key).sort()).toEqual(['a', 'b']);
    expect(state.recent.nodes).toHaveLength(3);
  });

  it('restart one that is killed, and the other continues', { timeout: 180_000 }, async () => {
    const replica = await started();
    const [one, other] = await twoCallers(replica.target);
    await one.lease({ key: 'of one' });
    await one.lease({ key: 'of one too' });
    const { token } = await other.lease({ key: 'of the other', leaseMs: 60_000 });
    const before = figure(await metricsOf(replica), METRICS.getOrLock);
    expect(before).toBe(3);
    const [first] = childrenOf(replica.pid) as [number];
    process.kill(first, 'SIGKILL');
    await until(() => replica.log.includes(LOG.workerEnded), START_MS_MAX);
    // The other worker has its own connection, and its lease still runs.
    await other.publishText('of the other', token, 'published');
    expect(await statusOf(replica, '/readyz')).toBe(200);
    // A counter that falls would look like a restart, and its remaining value like new events.
    expect(figure(await metricsOf(replica), METRICS.getOrLock)).toBe(before);
    await until(() => replica.log.includes(LOG.workerServes), START_MS_MAX);
    expect(childrenOf(replica.pid)).toHaveLength(2);
    expect(linesOf(replica)).toContainEqual(
      expect.objectContaining({
        msg: LOG.workerEnded,
        worker: 1,
        code: null,
        signal: 'SIGKILL',
        pauseMs: 100,
      }),
    );
    const text = await metricsOf(replica);
    expect(figure(text, METRICS.getOrLock)).toBe(before);
    expect(figure(text, WORKER_METRICS.workerRestarts)).toBe(1);
    // The client reconnects, and finds the value that the other worker stored.
    await until(async () => {
      const answer = await one.getOrLock({ key: 'of the other' }).catch(() => undefined);
      return answer !== undefined && textOf(answer) === 'published';
    });
    expect(figure(await metricsOf(replica), METRICS.getOrLock)).toBe(before + 1);
  });

  it('keep the port when all of them are killed', { timeout: 180_000 }, async () => {
    const replica = await started();
    for (const pid of childrenOf(replica.pid)) process.kill(pid, 'SIGKILL');
    await until(
      async () => figure(await metricsOf(replica), WORKER_METRICS.workerRestarts) === 2,
      START_MS_MAX,
    );
    await until(async () => (await statusOf(replica, '/readyz')) === 200, START_MS_MAX);
    const [one] = await twoCallers(replica.target);
    await one.lease({ key: 'after all' });
  });

  it('end with their main process when it is killed', async () => {
    const replica = await started();
    const workers = childrenOf(replica.pid);
    expect(workers).toHaveLength(2);
    await replica.kill();
    await until(() => !workers.some(isRunning), START_MS_MAX);
  });

  it('drain together', async () => {
    const replica = await started();
    const workers = childrenOf(replica.pid);
    const [one, other] = await twoCallers(replica.target);
    await one.lease({ key: 'held' });
    const waiting = [one, other].map((caller) => caller.getOrLock({ key: 'held', waitMs: 30_000 }));
    await until(async () => (await waitersOf(replica.httpUrl)) === 2, 30_000);
    replica.signal('SIGTERM');
    const outcomes = (await Promise.all(waiting)).map(({ outcome }) => outcome);
    expect(outcomes).toEqual([1, 2].map(() => expect.objectContaining({ $case: 'busy' })));
    for (const caller of [one, other]) caller.close();
    expect(await replica.ended).toEqual({ code: 0, signal: null });
    expect(workers.some(isRunning)).toBe(false);
    expect(linesOf(replica).filter(({ msg }) => msg === 'draining')).toHaveLength(2);
  });

  it('share a unix socket, and remove its file at the end', async () => {
    const path = join(folder, 'dibs.sock');
    const replica = await started({ DIBS_LISTEN: `127.0.0.1:0,unix://${path}` });
    const [one, other] = await twoCallers(`unix://${path}`);
    await one.lease({ key: 'by socket' });
    await other.lease({ key: 'by socket too' });
    expect(replica.target).toMatch(new RegExp(`^127\\.0\\.0\\.1:\\d+,unix://${path}$`));
    replica.signal('SIGTERM');
    await replica.ended;
    expect(existsSync(path)).toBe(false);
  });

  it('each read changed files', async () => {
    const [policies, auth] = [join(folder, 'policies.yaml'), join(folder, 'auth.yaml')];
    const tokens = (permissions: string) =>
      `identities: { anyone: { tokens: [${sha256('secret')}], permissions: { "*": ${permissions} } } }\n`;
    writeFileSync(policies, 'namespaces: { a: { max_rebuilds: 1 } }\n');
    writeFileSync(auth, tokens('[read, lease]'));
    const replica = await started({ DIBS_CONFIG: policies, DIBS_AUTH_FILE: auth });
    const callers = [
      new Caller(replica.target, { token: 'secret' }),
      new Caller(replica.target, { token: 'secret' }),
    ];
    for (const caller of callers) {
      closes(() => caller.close());
      await caller.lease({ key: `of ${callers.indexOf(caller)}` });
    }
    writeFileSync(policies, 'namespaces: { a: { max_rebuilds: 2 } }\n');
    writeFileSync(auth, tokens('[read]'));
    replica.signal('SIGHUP');
    const reloaded = (msg: string) => linesOf(replica).filter((line) => line.msg === msg);
    await until(() => reloaded(LOG.policiesReloaded).length === 2, 30_000);
    expect(
      reloaded(LOG.policiesReloaded)
        .map(({ worker }) => worker)
        .sort(),
    ).toEqual([1, 2]);
    for (const caller of callers) {
      await until(async () => {
        const error = await caller.getOrLock({ key: 'other' }).catch((refused) => refused);
        return error.code === status.PERMISSION_DENIED;
      });
    }
  });

  it('serve TLS with a certificate that can change, and plaintext on a unix socket', async () => {
    const authority = new TestAuthority('ours');
    closes(() => authority.close());
    const issued = authority.issue();
    const socket = `unix://${join(folder, 'tls.sock')}`;
    const replica = await started({
      ...{ DIBS_TLS_CERT: issued.cert, DIBS_TLS_KEY: issued.key },
      DIBS_LISTEN: `127.0.0.1:0,${socket}`,
    });
    const target = `localhost:${replica.target.split(',')[0]?.split(':').at(-1)}`;
    const callers = [1, 2].map(() => new Caller(target, { tls: { ca: authority.ca } }));
    const plain = new Caller(socket);
    for (const caller of [...callers, plain]) {
      closes(() => caller.close());
      await caller.connect();
      await caller.lease({ key: `over tls ${[...callers, plain].indexOf(caller)}` });
    }
    authority.replace(issued, authority.issue());
    replica.signal('SIGHUP');
    // The main process uses the certificate for the HTTP pages.
    const reloaded = () => linesOf(replica).filter(({ msg }) => msg === RELOADED.certificate);
    await until(() => reloaded().length === 3, 30_000);
    expect(new Set(reloaded().map(({ worker }) => worker))).toEqual(new Set([undefined, 1, 2]));
  });

  it('have different instance ids for a collector', async () => {
    const receiver = await OtlpReceiver.start();
    closes(() => receiver.stop());
    const attributes = { OTEL_RESOURCE_ATTRIBUTES: 'service.instance.id=pod-1' };
    const replica = await started({ ...receiver.env, ...attributes });
    for (const caller of await twoCallers(replica.target)) await caller.getOrLock({ key: 'traced' });
    const ids = (all: readonly ReceivedSpan['resource'][]) =>
      new Set(all.map((one) => one['service.instance.id']));
    const ofWorkers = ['pod-1-worker-1', 'pod-1-worker-2'];
    await until(() => ids(receiver.spans.map(({ resource }) => resource)).size === 2, 30_000);
    expect(ids(receiver.spans.map(({ resource }) => resource))).toEqual(new Set(ofWorkers));
    await until(() => ids(receiver.metricResources).size === 3, 30_000);
    expect(ids(receiver.metricResources)).toEqual(new Set(['pod-1', ...ofWorkers]));
    expect(new Set(receiver.metricResources.map((one) => one['service.name']))).toEqual(new Set(['dibs']));
  });

  it('log their shares of the configured bounds', async () => {
    const replica = await started({ DIBS_NEAR_CACHE_BYTES: '1000001', DIBS_CONNECTIONS: '10' });
    const each = expect.objectContaining({ nearCacheBytes: 500_000, connectionsMax: 5, waitersMax: 100_000 });
    expect(linesOf(replica)).toContainEqual(
      expect.objectContaining({ msg: LOG.workersShare, workers: 2, each }),
    );
  });

  it('do not start if another process uses the address', async () => {
    const replica = await started();
    const main = fleet.addReplica({ DIBS_WORKERS: '2', DIBS_LISTEN: replica.target });
    await expect(main).rejects.toThrow(`cannot listen at ${replica.target}`);
  });
});

describe('workers without a shared store', () => {
  it('are refused, with what to set', async () => {
    await expect(Replica.start({ DIBS_WORKERS: '2' })).rejects.toThrow(
      /DIBS_WORKERS.*DIBS_QUORUM_NODES and DIBS_STORE_URL/,
    );
  });
});
