import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';
import { beforeAll, expect, it } from 'vitest';
import { Caller } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { opened } from '../support/opened.js';
import { freePort } from '../support/redis-server.js';
import type { Replica } from '../support/replica.js';
import { TcpProxy } from '../support/tcp-proxy.js';

/** The bound in deploy/operations/configuration.md, and a margin for a process with little CPU. */
const STOP_MS_MAX = 20_000 + 5_000;
const TEST_MS_MAX = 90_000;

describeWithRedis('a stop has a bound', () => {
  const { closes } = opened();
  let hanging: Server;
  beforeAll(async () => {
    hanging = createServer(() => {});
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    hanging.unref();
  });

  async function fleetWith(env: Record<string, string> = {}): Promise<[Fleet, Replica]> {
    const fleet = await Fleet.start({ replicas: 1, lockNodes: 3, env: { DIBS_LOG_LEVEL: 'info', ...env } });
    closes(() => fleet.stop());
    return [fleet, fleet.replicas[0] as Replica];
  }

  const sentTo = (port: number) => ({
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
    OTEL_TRACES_SAMPLER: 'always_on',
  });

  /** Starts a holder, and callers that wait for it on one connection. */
  async function use(target: string): Promise<void> {
    const caller = new Caller(target);
    closes(() => caller.close());
    await caller.lease({ key: 'held', leaseMs: 30_000 });
    for (let at = 0; at < 20; at += 1) caller.getOrLock({ key: 'held' }).catch(() => {});
  }

  async function expectStop(replica: Replica): Promise<void> {
    const sinceMs = performance.now();
    replica.signal('SIGTERM');
    expect(await replica.ended).toEqual({ code: 0, signal: null });
    expect(performance.now() - sinceMs).toBeLessThan(STOP_MS_MAX);
  }

  it('when the collector hangs', { timeout: TEST_MS_MAX }, async () => {
    const [, replica] = await fleetWith(sentTo((hanging.address() as AddressInfo).port));
    await use(replica.target);
    await expectStop(replica);
  });

  it('when the collector refuses', { timeout: TEST_MS_MAX }, async () => {
    const [, replica] = await fleetWith(sentTo(await freePort()));
    await use(replica.target);
    await expectStop(replica);
  });

  it('when the store and all lock nodes hang', { timeout: TEST_MS_MAX }, async () => {
    const [fleet, replica] = await fleetWith();
    await use(replica.target);
    for (const server of [fleet.store, ...fleet.lockNodes]) server.hang();
    const caller = new Caller(replica.target);
    closes(() => caller.close());
    for (let at = 0; at < 20; at += 1) caller.getOrLock({ key: `new ${at}` }).catch(() => {});
    await expectStop(replica);
  });

  it('when waiters do not read', { timeout: TEST_MS_MAX }, async () => {
    const [, replica] = await fleetWith();
    const proxy = await TcpProxy.start(Number(new URL(`http://${replica.target}`).port));
    closes(() => proxy.stop());
    await use(new URL(proxy.url).host);
    proxy.behave({ swallow: 'all' });
    await expectStop(replica);
  });

  it('when all of this happens together', { timeout: TEST_MS_MAX }, async () => {
    const [fleet, replica] = await fleetWith(sentTo((hanging.address() as AddressInfo).port));
    const proxy = await TcpProxy.start(Number(new URL(`http://${replica.target}`).port));
    closes(() => proxy.stop());
    await use(new URL(proxy.url).host);
    proxy.behave({ swallow: 'all' });
    for (const server of [fleet.store, ...fleet.lockNodes]) server.hang();
    await expectStop(replica);
  });
});
