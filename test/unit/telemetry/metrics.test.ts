import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { describe, expect, it } from 'vitest';
import { type Gauges, Metrics } from '../../../src/telemetry/metrics.js';
import { LABELS, METRICS } from '../../../src/telemetry/names.js';
import { NamespaceSeries } from '../../../src/telemetry/namespace-series.js';
import { ManualClock } from '../../support/manual-clock.js';

/** Parses what Prometheus would read: the samples by name and labels, and the type of each metric. */
function parse(text: string) {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type?.[1] !== undefined && type[2] !== undefined) types.set(type[1], type[2]);
    if (line === '' || line.startsWith('#')) continue;
    const sample = /^([a-z_]+(?:\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)+\})?) (\S+)$/.exec(line);
    if (sample?.[1] === undefined) throw new Error(`not a sample: ${line}`);
    samples.set(sample[1], Number(sample[2]));
  }
  return { samples, types };
}

const GAUGES: Gauges = {
  waiters: () => 3,
  waitersMax: 200_000,
  longestWaitMs: () => 1_500,
  leasesHeld: () => 2,
  nearCacheBytes: () => 1,
  undecided: () => true,
  wakesLive: () => true,
  nodeStates: () =>
    new Map([
      ['127.0.0.1:7001', 'voting'],
      ['127.0.0.1:7002', 'suspect'],
    ]),
  nodeGroups: () => new Map([['', ['voting', 'suspect']]]),
  statesOfNodes: ['voting', 'suspect', 'waiting'],
  spans: async () => new Map([['sent', 7]]),
};

function busyMetrics(): Metrics {
  const metrics = new Metrics(new NamespaceSeries(new ManualClock()));
  metrics.watch(GAUGES);
  metrics.answered('shop', 'hit');
  metrics.answered('shop', 'hit');
  metrics.waited('shop', 'publish', 30);
  metrics.published('shop', 'stored', 250);
  metrics.published('shop', 'duplicate', undefined);
  metrics.leaseEnded('shop', 'expired', 10_000);
  metrics.saved('shop', 999);
  metrics.voted('127.0.0.1:7001', 'for', 0.3);
  metrics.degraded('quorum_lost');
  metrics.storeLate(true);
  metrics.storeStep('arm', 'done');
  metrics.storeStep('arm', 'done');
  metrics.storeStep('publish', 'failed');
  metrics.callFailed('Publish', 'UNAVAILABLE');
  metrics.connectionRefused('grpc', 'share');
  metrics.is('quorum', '1.2.3');
  metrics.shares({ DIBS_LEASE_MAX_MS: 60_000, DIBS_SILENCE_MS: 2_000 });
  metrics.watchFile('DIBS_AUTH_FILE', () => true);
  metrics.watchFile('DIBS_CONFIG', () => false);
  metrics.watchCertificates(() => [{ variable: 'DIBS_TLS_CERT', endMs: 1_800_000_000_000 }]);
  return metrics;
}

describe('the scraped metrics', () => {
  it('have exactly the names that dashboards rely on', async () => {
    const { types } = parse(await busyMetrics().scrape());
    expect([...types.keys()].sort()).toEqual(Object.values(METRICS).sort());
  });

  it('have the type that their name says', async () => {
    const { types } = parse(await busyMetrics().scrape());
    for (const [name, type] of types) {
      const inSeconds: readonly string[] = [
        METRICS.longestWait,
        METRICS.certificateEnd,
        METRICS.sharedSetting,
      ];
      const isNow = inSeconds.includes(name) || !name.endsWith('_seconds');
      const wanted = name.endsWith('_total') ? 'counter' : isNow ? 'gauge' : 'histogram';
      expect(`${name} ${type}`).toBe(`${name} ${wanted}`);
    }
  });

  it('have only known labels', async () => {
    const text = await busyMetrics().scrape();
    const labels = new Set([...text.matchAll(/([a-z_]+)="/g)].map((match) => match[1]));
    // A single group of lock nodes has no label.
    const { group: _, ...others } = LABELS;
    expect([...labels].sort()).toEqual([...Object.values(others), 'le'].sort());
  });

  it('contain what was observed', async () => {
    const { samples } = parse(await busyMetrics().scrape());
    expect(Object.fromEntries([...samples].filter(([name]) => !name.includes('_bucket')))).toEqual({
      'dibs_get_or_lock_total{namespace="shop",outcome="hit"}': 2,
      'dibs_wait_seconds_count{namespace="shop",ended_by="publish"}': 1,
      'dibs_wait_seconds_sum{namespace="shop",ended_by="publish"}': 0.03,
      'dibs_rebuild_seconds_count{namespace="shop",outcome="stored"}': 1,
      'dibs_rebuild_seconds_sum{namespace="shop",outcome="stored"}': 0.25,
      'dibs_rebuild_seconds_count{namespace="shop",outcome="expired"}': 1,
      'dibs_rebuild_seconds_sum{namespace="shop",outcome="expired"}': 10,
      'dibs_publish_total{namespace="shop",outcome="stored"}': 1,
      'dibs_publish_total{namespace="shop",outcome="duplicate"}': 1,
      'dibs_rebuilds_saved_total{namespace="shop"}': 999,
      'dibs_quorum_vote_seconds_count{node="127.0.0.1:7001",vote="for"}': 1,
      'dibs_quorum_vote_seconds_sum{node="127.0.0.1:7001",vote="for"}': 0.0003,
      'dibs_quorum_nodes{state="voting"}': 1,
      'dibs_quorum_nodes{state="suspect"}': 1,
      'dibs_quorum_nodes{state="waiting"}': 0,
      ...Object.fromEntries(
        ['voting', 'suspect', 'waiting'].flatMap((state) => [
          [`dibs_quorum_node_state{node="127.0.0.1:7001",state="${state}"}`, state === 'voting' ? 1 : 0],
          [`dibs_quorum_node_state{node="127.0.0.1:7002",state="${state}"}`, state === 'suspect' ? 1 : 0],
        ]),
      ),
      'dibs_spans_total{outcome="sent"}': 7,
      dibs_waiters: 3,
      dibs_waiters_max: 200_000,
      dibs_longest_wait_seconds: 1.5,
      dibs_leases_held: 2,
      dibs_near_cache_bytes: 1,
      dibs_store_late: 1,
      dibs_undecided: 1,
      'dibs_store_steps_total{step="arm",ended="done"}': 2,
      'dibs_store_steps_total{step="publish",ended="failed"}': 1,
      'dibs_connections_refused_total{protocol="grpc",why="share"}': 1,
      'dibs_connections_refused_total{protocol="grpc",why="connections"}': 0,
      'dibs_connections_refused_total{protocol="grpc",why="calls"}': 0,
      'dibs_connections_refused_total{protocol="grpc",why="handshake"}': 0,
      'dibs_connections_refused_total{protocol="http",why="share"}': 0,
      'dibs_connections_refused_total{protocol="http",why="connections"}': 0,
      'dibs_connections_refused_total{protocol="http",why="requests"}': 0,
      'dibs_call_errors_total{method="Publish",code="UNAVAILABLE"}': 1,
      'dibs_info{mode="quorum",version="1.2.3"}': 1,
      'dibs_shared_setting_seconds{variable="DIBS_LEASE_MAX_MS"}': 60,
      'dibs_shared_setting_seconds{variable="DIBS_SILENCE_MS"}': 2,
      'dibs_certificate_expiration_timestamp_seconds{variable="DIBS_TLS_CERT"}': 1_800_000_000,
      dibs_wakes_live: 1,
      'dibs_reload_refused{variable="DIBS_AUTH_FILE"}': 1,
      'dibs_reload_refused{variable="DIBS_CONFIG"}': 0,
      'dibs_degraded{mode="unknown"}': 0,
      'dibs_degraded{mode="none"}': 0,
      'dibs_degraded{mode="quorum_lost"}': 1,
      'dibs_degraded{mode="store_lost"}': 0,
      'dibs_degraded{mode="local"}': 0,
    });
  });

  it('count the lock nodes of each group if there are several', async () => {
    const metrics = new Metrics(new NamespaceSeries(new ManualClock()));
    const nodeGroups = () =>
      new Map([
        ['a:1', ['voting', 'voting', 'suspect']],
        ['d:1', ['waiting', 'voting', 'voting']],
      ]);
    metrics.watch({ ...GAUGES, nodeGroups });
    const { samples } = parse(await metrics.scrape());
    await metrics.stop();
    const nodes = [...samples].filter(([name]) => name.startsWith('dibs_quorum_nodes'));
    expect(Object.fromEntries(nodes)).toEqual({
      'dibs_quorum_nodes{state="voting",group="a:1"}': 2,
      'dibs_quorum_nodes{state="suspect",group="a:1"}': 1,
      'dibs_quorum_nodes{state="waiting",group="a:1"}': 0,
      'dibs_quorum_nodes{state="voting",group="d:1"}': 2,
      'dibs_quorum_nodes{state="suspect",group="d:1"}': 0,
      'dibs_quorum_nodes{state="waiting",group="d:1"}': 1,
    });
  });

  it('have an unknown mode before the first decision', async () => {
    const idle = new Metrics(new NamespaceSeries(new ManualClock()));
    idle.watch(GAUGES);
    const { samples } = parse(await idle.scrape());
    expect(samples.get('dibs_degraded{mode="unknown"}')).toBe(1);
    expect(samples.get('dibs_degraded{mode="none"}')).toBe(0);
  });

  it('have buckets from a tenth of a millisecond to a minute', async () => {
    const text = await busyMetrics().scrape();
    const bounds = [...text.matchAll(/dibs_wait_seconds_bucket\{.*le="([^"]+)"/g)].map((match) => match[1]);
    expect(bounds.at(0)).toBe('0.0001');
    expect(bounds.slice(-2)).toEqual(['60', '+Inf']);
  });

  it('distinguish a bounded number of namespaces', async () => {
    const metrics = new Metrics(new NamespaceSeries(new ManualClock()));
    for (let n = 0; n < 5_000; n += 1) metrics.answered(`ns-${n}`, 'hit');
    metrics.answered('ns-0', 'hit');
    const { samples } = parse(await metrics.scrape());
    const answers = [...samples.keys()].filter((name) => name.startsWith('dibs_get_or_lock_total'));
    expect(answers.length).toBe(101);
    expect(samples.get('dibs_get_or_lock_total{namespace="ns-0",outcome="hit"}')).toBe(2);
    expect(samples.get('dibs_get_or_lock_total{namespace="other",outcome="hit"}')).toBe(4_900);
  });
});

it.each([
  ['hangs', () => new Promise<void>(() => {})],
  ['refuses', () => Promise.reject(new Error('refused'))],
])('stops in time if its collector %s', async (_how, shutdown) => {
  const reader = new PrometheusExporter({ preventServerStart: true });
  reader.shutdown = shutdown;
  await new Metrics(new NamespaceSeries(new ManualClock()), [reader]).stop(50);
});
