import { afterAll, beforeAll, expect, it } from 'vitest';
import { LOG } from '../../src/telemetry/log-texts.js';
import { Caller } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { HolderProcess } from '../support/holder-process.js';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp/receiver.js';
import { PATIENT_ENV } from '../support/patience.js';
import { until } from '../support/until.js';
import { waitersOf } from '../support/waiters.js';

/** On a busy machine, all holders must have started before the first lease ends. */
const LEASE_MS = 15_000;
/** The quorum subtracts the drift from a lease, and a busy machine delays the holder. */
const LEASE_MS_AT_LEAST = 2_000;
/** A span begins with the vote, and the lease at the store a little later: much later on a busy machine. */
const LEASE_MS_AT_MOST = LEASE_MS + 15_000;
const KEYS = ['first', 'second', 'third'];

describeWithRedis('a replica whose holders die, while callers of another replica take over', () => {
  let receiver: OtlpReceiver;
  let fleet: Fleet;
  let other: Caller;
  let metrics: string;

  beforeAll(async () => {
    receiver = await OtlpReceiver.start();
    fleet = await Fleet.start({ replicas: 2, env: { ...receiver.env, ...PATIENT_ENV } });
    const [gave, takes] = fleet.replicas as [Fleet['replicas'][number], Fleet['replicas'][number]];
    other = new Caller(takes.target);
    await other.connect();
    const holders = await Promise.all(KEYS.map((key) => HolderProcess.start(gave.target, key, LEASE_MS)));
    const waits = KEYS.map((key) => other.lease({ key, waitMs: 30_000 }));
    await until(async () => (await waitersOf(takes.httpUrl)) === KEYS.length);
    await Promise.all(holders.map((holder) => holder.kill()));
    for (const [at, lease] of (await Promise.all(waits)).entries()) {
      await other.publishText(KEYS[at]!, lease.token, 'rebuilt by another');
    }
    // The first replica's metrics were not read until here, so it has noticed by itself.
    await until(() => expiredSpans().length === KEYS.length);
    metrics = await (await fetch(`${gave.httpUrl}/metrics`)).text();
  });
  afterAll(async () => {
    other?.close();
    await fleet?.stop();
    receiver?.stop();
  });

  const expiredSpans = () =>
    receiver.named('dibs.lease').filter(({ attributes }) => attributes['dibs.lease.end'] === 'expired');

  it('counts their leases as expired, and none as published', () => {
    const ended = [...metrics.matchAll(/^dibs_rebuild_seconds_count\{.*outcome="(\w+)".*\} (\d+)$/gm)];
    expect(ended.map(([, outcome, count]) => [outcome, Number(count)])).toEqual([['expired', KEYS.length]]);
  });

  it('logs a line for each', () => {
    const lines = fleet.replicas[0]!.log.split('\n').filter((line) => line.includes(LOG.leaseExpired));
    expect(lines).toHaveLength(KEYS.length);
  });

  it('ends the span of each lease at its end, so the link of its wait leads to a span', async () => {
    const leases = new Map(expiredSpans().map((span) => [span.spanId, span]));
    // The other replica exports them in its own interval. On a busy machine a waiter may lose its first votes and wait again.
    const waits = () =>
      receiver.named('dibs.wait').filter(({ attributes }) => attributes['dibs.wait.ended_by'] === 'lease');
    await until(() => waits().length === KEYS.length);
    for (const wait of waits()) {
      const lease = leases.get(wait.links[0]!.spanId) as ReceivedSpan;
      expect(lease.tookMs).toBeGreaterThan(LEASE_MS_AT_LEAST);
      expect(lease.tookMs).toBeLessThan(LEASE_MS_AT_MOST);
    }
  });
});
