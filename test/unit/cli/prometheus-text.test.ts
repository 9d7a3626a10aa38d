import { describe, expect, it } from 'vitest';
import { readPrometheusText } from '../../../src/cli/prometheus-text.js';
import { Metrics } from '../../../src/telemetry/metrics.js';
import { NamespaceSeries } from '../../../src/telemetry/namespace-series.js';
import { ManualClock } from '../../support/manual-clock.js';

describe('Prometheus text', () => {
  it('is read as the service writes it', async () => {
    const metrics = new Metrics(new NamespaceSeries(new ManualClock()));
    metrics.answered('prices', 'hit');
    metrics.answered('prices', 'hit');
    metrics.voted('redis://a:1', 'for', 3);
    metrics.watch({
      waiters: () => 7,
      waitersMax: 200_000,
      longestWaitMs: () => 0,
      leasesHeld: () => 2,
      nearCacheBytes: () => 0,
      undecided: () => false,
      wakesLive: () => true,
      nodeStates: () => new Map([['redis://a:1', 'voting']]),
      nodeGroups: () => new Map([['', ['voting']]]),
      statesOfNodes: ['voting'],
      spans: async () => new Map(),
    });
    const samples = readPrometheusText(await metrics.scrape());
    await metrics.stop();
    expect(samples).toContainEqual({
      name: 'dibs_get_or_lock_total',
      labels: { namespace: 'prices', outcome: 'hit' },
      value: 2,
    });
    expect(samples).toContainEqual({ name: 'dibs_waiters', labels: {}, value: 7 });
    expect(samples).toContainEqual({ name: 'dibs_quorum_nodes', labels: { state: 'voting' }, value: 1 });
    expect(samples).toContainEqual({
      name: 'dibs_quorum_vote_seconds_bucket',
      labels: { node: 'redis://a:1', vote: 'for', le: '+Inf' },
      value: 1,
    });
  });

  it.each([
    ['a 1', { name: 'a', labels: {}, value: 1 }],
    ['a:b_c\t-1.5e3', { name: 'a:b_c', labels: {}, value: -1500 }],
    ['a 1 1700000000000', { name: 'a', labels: {}, value: 1 }],
    ['a {} 1', { name: 'a', labels: {}, value: 1 }],
    ['a{ x = "y" , } 1', { name: 'a', labels: { x: 'y' }, value: 1 }],
    ['a{x="}, y=\\"2\\"",z="\\\\\\n"} 1', { name: 'a', labels: { x: '}, y="2"', z: '\\\n' }, value: 1 }],
    ['a +Inf', { name: 'a', labels: {}, value: Number.POSITIVE_INFINITY }],
    ['a -Inf', { name: 'a', labels: {}, value: Number.NEGATIVE_INFINITY }],
    ['a NaN', { name: 'a', labels: {}, value: Number.NaN }],
  ])('reads %s', (line, sample) => {
    expect(readPrometheusText(`# HELP a what it is\n# TYPE a gauge\n\n${line}\r\n`)).toEqual([sample]);
  });

  it.each([
    '<html>',
    'a',
    'a1',
    'a one',
    '1a 1',
    'a{x} 1',
    'a{x=y} 1',
    'a{x="y"z="1"} 1',
    'a{x="y" 1',
    'a 1 soon',
  ])('refuses %s, and quotes it', (line) => {
    expect(() => readPrometheusText(`b 1\n${line}\n`)).toThrow(line);
  });
});
