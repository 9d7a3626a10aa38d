import { expect, it } from 'vitest';
import {
  Degraded,
  PublishOutcome as Outcome,
  type PublishResponse,
} from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { LOG } from '../../../src/telemetry/log-texts.js';
import { Caller } from '../../support/caller.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { linesOf } from '../../support/log-lines.js';
import { opened } from '../../support/opened.js';
import type { RedisServer } from '../../support/redis-server.js';
import { Replica } from '../../support/replica.js';
import { TcpProxy } from '../../support/tcp-proxy.js';

// Publishes that are refused or not stored. The log line names the cause.

const PATIENCE = { timeout: 30_000, interval: 200 };
const VALUE_BYTES = 2_000_000;

describeWithRedis('a publish that is not stored', () => {
  const { closes, redis } = opened();

  async function start(store: RedisServer, url = store.url) {
    const nodes = await Promise.all([redis(), redis(), redis()]);
    const replica = await Replica.start({
      DIBS_QUORUM_NODES: nodes.map((node) => node.url).join(','),
      DIBS_STORE_URL: url,
      DIBS_VALUE_MAX_BYTES: '8388608',
      // A store that hangs here is late, and not gone.
      DIBS_SILENCE_MS: '20000',
      DIBS_LOG_LEVEL: 'info',
    });
    closes(() => replica.kill());
    const caller = new Caller(replica.target);
    closes(() => caller.close());
    const publish = (
      key: string,
      token: string,
      bytes = 5,
      deadlineMs?: number,
    ): Promise<PublishResponse> => {
      const payload = { $case: 'value', value: Buffer.alloc(bytes, 'v') } as const;
      return caller.publish(
        { key, token, payload, ttlMs: 60_000 },
        deadlineMs === undefined ? {} : { deadlineMs },
      );
    };
    /** The line may appear after the answer. */
    const lineOf = async (...texts: readonly string[]) => {
      const find = () => linesOf(replica).find(({ msg }) => texts.includes(String(msg)));
      await expect.poll(find, PATIENCE).toBeDefined();
      return find();
    };
    const metrics = async () => (await fetch(`${replica.httpUrl}/metrics`)).text();
    const ask = async (key: string) => (await caller.getOrLock({ key, waitMs: 0 })).degraded;
    return { replica, caller, publish, lineOf, metrics, ask };
  }

  it('a publish whose lease was granted without the store', async () => {
    const store = await redis();
    const { caller, publish, lineOf, ask } = await start(store);
    await store.kill();
    await expect.poll(() => ask('other'), PATIENCE).toBe(Degraded.DEGRADED_STORE_LOST);
    const { token } = await caller.lease({ key: 'k' });
    const answer = await publish('k', token);
    expect(answer).toMatchObject({ outcome: Outcome.PUBLISH_OUTCOME_NOT_STORED, maybeStored: false });
    expect(await lineOf(LOG.publishWithoutStore)).toMatchObject({ outcome: 'not_stored', valueBytes: 5 });
  });

  it('a publish to a store that has gone down since the lease', async () => {
    const store = await redis();
    const { caller, publish, lineOf, ask } = await start(store);
    const { token } = await caller.lease({ key: 'k' });
    await store.kill();
    await expect.poll(() => ask('other'), PATIENCE).toBe(Degraded.DEGRADED_STORE_LOST);
    const answer = await publish('k', token);
    expect(answer).toMatchObject({ outcome: Outcome.PUBLISH_OUTCOME_NOT_STORED, maybeStored: false });
    expect((await lineOf(LOG.publishRefusedByStore))?.why).toMatch(/connection (?:refused|was closed)/);
  });

  it('a publish to a store that has become full', async () => {
    const store = await redis();
    const { caller, publish, lineOf, metrics } = await start(store);
    const { token } = await caller.lease({ key: 'k' });
    await store.command('CONFIG', 'SET', 'maxmemory', '1');
    const answer = await publish('k', token, 1_234);
    expect(answer).toMatchObject({ outcome: Outcome.PUBLISH_OUTCOME_NOT_STORED, maybeStored: false });
    const line = await lineOf(LOG.publishRefusedByStore);
    expect(line).toMatchObject({
      valueBytes: 1_234,
      why: expect.stringMatching(/Redis is full; raise its maxmemory/),
    });
    // Reads succeed: their health is separate from that of publishes.
    await caller.getOrLock({ key: 'other', waitMs: 0 });
    const page = await metrics();
    expect(page).toMatch(/dibs_store_steps_total\{step="publish",ended="failed"\} [12]\n/);
    expect(page).toMatch(/dibs_store_steps_total\{step="read",ended="done"\} \d/);
    expect(page).not.toMatch('dibs_store_steps_total{step="read",ended="failed"}');
  });

  it('a value that is larger than Redis accepts', async () => {
    const store = await redis('--proto-max-bulk-len', '1048576');
    const { caller, publish, lineOf } = await start(store);
    const { token } = await caller.lease({ key: 'k' });
    const answer = await publish('k', token, VALUE_BYTES);
    expect(answer).toMatchObject({ outcome: Outcome.PUBLISH_OUTCOME_NOT_STORED });
    const line = await lineOf(LOG.publishRefusedByStore, LOG.publishReplyLost);
    expect(line).toMatchObject({ valueBytes: VALUE_BYTES });
    expect(line?.why).toMatch(/proto-max-bulk-len/);
  });

  it('a publish whose reply is lost', async () => {
    const store = await redis();
    const proxy = await TcpProxy.start(store.port);
    closes(() => proxy.stop());
    const { caller, publish, lineOf } = await start(store, proxy.url);
    // The first publish loads the script.
    await publish('other', (await caller.lease({ key: 'other' })).token);
    await store.command('CONFIG', 'RESETSTAT');
    const { token } = await caller.lease({ key: 'k' });
    proxy.behave({ swallow: 'replies' });
    const publishing = publish('k', token);
    await expect.poll(() => store.command('INFO', 'commandstats'), PATIENCE).toMatch(/cmdstat_publish:/);
    await store.kill();
    proxy.reset();
    expect(await publishing).toMatchObject({
      outcome: Outcome.PUBLISH_OUTCOME_NOT_STORED,
      maybeStored: true,
    });
    expect(await lineOf(LOG.publishReplyLost)).toMatchObject({ outcome: 'not_stored', valueBytes: 5 });
  });

  it('a publish whose caller has no time to wait for a store that hangs', async () => {
    const store = await redis();
    const { caller, publish, lineOf, metrics } = await start(store);
    const { token } = await caller.lease({ key: 'k', leaseMs: 60_000 });
    store.hang();
    // The answer comes 50 ms before the deadline, which a busy machine may take for itself.
    const answer = () => publish('k', token, 5, 1_500).catch(() => undefined);
    await expect
      .poll(answer, PATIENCE)
      .toMatchObject({ outcome: Outcome.PUBLISH_OUTCOME_NOT_STORED, maybeStored: true });
    expect(await lineOf(LOG.publishUnanswered)).toMatchObject({ waitedMs: expect.any(Number) });
    expect(await lineOf(LOG.storeLate)).toBeDefined();
    expect(await metrics()).not.toMatch(/dibs_publish_total\{[^}]*not_stored/);
    store.resume();
    await expect.poll(metrics, PATIENCE).toMatch(/dibs_publish_total\{[^}]*"(?:stored|not_stored)"\} 1/);
  });

  it('a publish after a newer lease', async () => {
    const { caller, publish, lineOf } = await start(await redis());
    const { token } = await caller.lease({ key: 'k', leaseMs: 200 });
    const newer = await caller.getOrLock({ key: 'k', waitMs: 20_000 });
    expect(newer.outcome?.$case).toBe('lease');
    const answer = await publish('k', token);
    expect(answer).toMatchObject({ outcome: Outcome.PUBLISH_OUTCOME_SUPERSEDED });
    expect(await lineOf(LOG.publishSuperseded)).toMatchObject({ outcome: 'superseded' });
  });

  it('a publish to a store that was emptied', async () => {
    const store = await redis();
    const { caller, publish, lineOf } = await start(store);
    const { token } = await caller.lease({ key: 'k' });
    await store.command('FLUSHALL');
    expect(await publish('k', token)).toMatchObject({ outcome: Outcome.PUBLISH_OUTCOME_UNKNOWN_LEASE });
    expect(await lineOf(LOG.publishUnknownLease)).toMatchObject({ outcome: 'unknown_lease' });
  });
});
