import { expect, it } from 'vitest';
import { WholeMetrics } from '../../../src/telemetry/whole-metrics.js';

const COUNTERS = '# HELP dibs_publish_total Publish calls\n# TYPE dibs_publish_total counter\n';
const counted = (of: Record<string, number>) =>
  COUNTERS +
  Object.entries(of)
    .map(([name, count]) => `dibs_publish_total{namespace="${name}"} ${count}\n`)
    .join('');
const gauge = (name: string, ...series: string[]) =>
  `# HELP ${name} it\n# TYPE ${name} gauge\n${series.map((one) => `${name}${one}\n`).join('')}`;
const part = (name: string, text: string | undefined, run = 1) => ({ name, run, text });
const linesOf = (text: string) => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
const merged = (...texts: string[]) =>
  linesOf(new WholeMetrics().merged(texts.map((text, at) => part(`worker ${at}`, text))));

it('adds counters by their labels, and describes each once', () => {
  const text = new WholeMetrics().merged([
    part('1', counted({ a: 1, b: 2 })),
    part('2', counted({ b: 3, c: 4 })),
  ]);
  expect(text).toBe(counted({ a: 1, b: 5, c: 4 }));
});

it('adds histograms bucket by bucket', () => {
  const histogram = (one: number, all: number, sum: number) =>
    `# HELP dibs_wait_seconds waits\n# TYPE dibs_wait_seconds histogram\n` +
    `dibs_wait_seconds_bucket{le="0.1"} ${one}\ndibs_wait_seconds_bucket{le="+Inf"} ${all}\n` +
    `dibs_wait_seconds_sum ${sum}\ndibs_wait_seconds_count ${all}\n`;
  const whole = new WholeMetrics();
  const parts = [part('1', histogram(1, 2, 0.5)), part('2', histogram(3, 4, 0.25))];
  expect(linesOf(whole.merged(parts)).sort()).toEqual(linesOf(histogram(4, 6, 0.75)).sort());
});

it('keeps the counts of a process from before its restart', () => {
  const whole = new WholeMetrics();
  const other = part('2', counted({ a: 5 }));
  whole.merged([part('1', counted({ a: 10 })), other]);
  // The process has ended, and then it starts.
  expect(linesOf(whole.merged([part('1', undefined), other]))).toEqual([
    'dibs_publish_total{namespace="a"} 15',
  ]);
  expect(linesOf(whole.merged([part('1', COUNTERS, 2), other]))).toEqual([
    'dibs_publish_total{namespace="a"} 15',
  ]);
  // The new process has already counted more than the old one.
  expect(linesOf(whole.merged([part('1', counted({ a: 12 }), 2), other]))).toEqual([
    'dibs_publish_total{namespace="a"} 27',
  ]);
});

it('keeps the counts from before a restart even if the new process has counted more', () => {
  const whole = new WholeMetrics();
  whole.merged([part('1', counted({ a: 10 }))]);
  expect(linesOf(whole.merged([part('1', counted({ a: 12 }), 2)]))).toEqual([
    'dibs_publish_total{namespace="a"} 22',
  ]);
});

it('keeps the counts of a process whose series ended while another process has that series', () => {
  const whole = new WholeMetrics();
  whole.merged([part('1', counted({ a: 10 })), part('2', counted({ a: 5 }))]);
  expect(linesOf(whole.merged([part('1', COUNTERS), part('2', counted({ a: 6 }))]))).toEqual([
    'dibs_publish_total{namespace="a"} 16',
  ]);
  // Now no process has it, so it ends, and begins at zero when it returns.
  expect(linesOf(whole.merged([part('1', COUNTERS), part('2', COUNTERS)]))).toEqual([]);
  expect(linesOf(whole.merged([part('1', counted({ a: 1 })), part('2', COUNTERS)]))).toEqual([
    'dibs_publish_total{namespace="a"} 1',
  ]);
});

it('adds gauges, and leaves out those of a process that does not answer', () => {
  const whole = new WholeMetrics();
  const waiters = (count: number) => gauge('dibs_waiters', ` ${count}`);
  expect(linesOf(whole.merged([part('1', waiters(2)), part('2', waiters(3))]))).toEqual(['dibs_waiters 5']);
  expect(linesOf(whole.merged([part('1', undefined), part('2', waiters(3))]))).toEqual(['dibs_waiters 3']);
});

it.each(['dibs_longest_wait_seconds', 'dibs_undecided', 'dibs_store_late', 'dibs_reload_refused'])(
  'takes the largest %s',
  (name) => {
    expect(merged(gauge(name, ' 0'), gauge(name, ' 1'), gauge(name, ' 0'))).toEqual([`${name} 1`]);
  },
);

it('takes the certificate that ends first', () => {
  const ends = (at: number) =>
    gauge('dibs_certificate_expiration_timestamp_seconds', `{variable="DIBS_TLS_CERT"} ${at}`);
  expect(merged(ends(1_800_000_000), ends(1_700_000_000), ends(1_800_000_000))).toEqual(
    linesOf(ends(1_700_000_000)),
  );
});

it('hears wakes if every process does', () => {
  expect(merged(gauge('dibs_wakes_live', ' 1'), gauge('dibs_wakes_live', ' 0'))).toEqual([
    'dibs_wakes_live 0',
  ]);
  expect(merged(gauge('dibs_wakes_live', ' 1'), gauge('dibs_wakes_live', ' 1'))).toEqual([
    'dibs_wakes_live 1',
  ]);
});

it('shows a setting that all processes share as it is', () => {
  const setting = gauge('dibs_shared_setting_seconds', '{variable="DIBS_SILENCE_MS"} 2');
  expect(merged(setting, setting)).toEqual(['dibs_shared_setting_seconds{variable="DIBS_SILENCE_MS"} 2']);
});

it('shows one replica with one mode and version', () => {
  const info = gauge('dibs_info', '{mode="quorum"} 1');
  expect(merged(info, info)).toEqual(['dibs_info{mode="quorum"} 1']);
});

it('shows the lock nodes of several groups as the process that sees the fewest of them vote', () => {
  const nodes = (...voting: number[]) =>
    gauge('dibs_quorum_nodes', ...voting.map((count, at) => `{state="voting",group="${at + 1}"} ${count}`));
  for (const texts of [
    [nodes(5, 5), nodes(5, 2)],
    [nodes(5, 2), nodes(5, 5)],
  ]) {
    expect(merged(...texts)).toEqual([
      'dibs_quorum_nodes{state="voting",group="1"} 5',
      'dibs_quorum_nodes{state="voting",group="2"} 2',
    ]);
  }
});

it('shows the lock nodes of the process that sees the fewest of them vote', () => {
  const nodes = (voting: number) =>
    gauge('dibs_quorum_nodes', `{state="voting"} ${voting}`, `{state="connecting"} ${3 - voting}`) +
    gauge('dibs_quorum_node_state', `{node="a",state="voting"} ${voting === 3 ? 1 : 0}`);
  for (const texts of [
    [nodes(3), nodes(2)],
    [nodes(2), nodes(3)],
  ]) {
    expect(merged(...texts)).toEqual(linesOf(nodes(2)));
  }
});

it('shows the worst degradation', () => {
  const modes = ['unknown', 'none', 'quorum_lost', 'store_lost', 'local'];
  const degraded = (is: string) =>
    gauge('dibs_degraded', ...modes.map((mode) => `{mode="${mode}"} ${mode === is ? 1 : 0}`));
  for (const [at, worse] of modes.entries()) {
    for (const better of modes.slice(0, at)) {
      expect(merged(degraded(better), degraded(worse))).toEqual(linesOf(degraded(worse)));
      expect(merged(degraded(worse), degraded(better))).toEqual(linesOf(degraded(worse)));
    }
  }
});

it('accepts labels with spaces and braces', () => {
  const text = `${COUNTERS}dibs_publish_total{namespace="a } b"} 1\n`;
  expect(merged(text, text)).toEqual(['dibs_publish_total{namespace="a } b"} 2']);
});
