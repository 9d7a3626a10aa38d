import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { keyOf } from '../../src/coordination/words/key.js';
import {
  BusyReason,
  type GetOrLockResponse,
  PublishOutcome,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { lockKey } from '../../src/redis/keys.js';
import { METRICS } from '../../src/telemetry/names.js';
import { AccessTrial } from '../support/access-trial.js';
import { readAlertRules } from '../support/alert-rules.js';
import { Caller } from '../support/caller.js';
import { dashboard, panels, queriesOf, variableQueries } from '../support/dashboard.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Exported } from '../support/exported.js';
import { Fleet } from '../support/fleet.js';
import { httpsGet } from '../support/https.js';
import { PATIENT_ENV } from '../support/patience.js';
import { parseQuery, type Query } from '../support/promql.js';
import { until } from '../support/until.js';
import { waitersOf } from '../support/waiters.js';

// A real replica must export everything that the dashboard and the alerts query: a name that no replica exports is an
// empty panel, or an alert that never fires.

/** Prometheus adds these to each target. */
const TARGET_LABELS = ['job', 'instance'];
/** Series of Prometheus itself: whether a scrape succeeded, and firing alerts. */
const OF_PROMETHEUS = ['up', 'ALERTS'];
/** The budget of this namespace is one rebuild at a time. */
const TIGHT = 'tight';
const LEASE_MS = 20_000;
/** A lease that ends here: the shortest that this fleet grants. */
const SHORT_MS = 1_000;
const ENV = { ...PATIENT_ENV, DIBS_LEASE_MIN_MS: `${SHORT_MS}`, DIBS_NODE_TIMEOUT_MS: `${SHORT_MS}` };
/** An address on which nothing listens. */
const NOTHING = '127.0.0.1:1';

const { alerts, recordings } = readAlertRules();
const recorded = new Map(recordings.map(({ record, expr }) => [record, parseQuery(expr)]));

describeWithRedis('the queries of the dashboard and the alerts', () => {
  const exported = new Exported();
  const folder = mkdtempSync(join(tmpdir(), 'dibs-dashboards-'));
  let fleet: Fleet;
  let caller: Caller;
  let httpUrl: string;

  const scrape = async () => (await fetch(`${httpUrl}/metrics`)).text();
  const nodesIn = async (state: string) => {
    const [, count] =
      new RegExp(`^dibs_quorum_nodes\\{state="${state}"\\} (\\d+)$`, 'm').exec(await scrape()) ?? [];
    return Number(count);
  };
  const outcomeOf = ({ outcome }: GetOrLockResponse) => outcome?.$case;
  const busy = (reason: BusyReason) => ({ outcome: { $case: 'busy', value: { reason } } });

  beforeAll(async () => {
    const policies = join(folder, 'policies.yaml');
    writeFileSync(policies, `namespaces: { ${TIGHT}: { max_rebuilds: 1 } }\n`);
    // No collector listens there, so spans fail.
    const traces = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://${NOTHING}`, OTEL_METRICS_EXPORTER: 'none' };
    fleet = await Fleet.start({ replicas: 1, env: { ...ENV, DIBS_CONFIG: policies, ...traces } });
    const [replica] = fleet.replicas;
    httpUrl = replica!.httpUrl;
    caller = new Caller(replica!.target);
    await caller.connect();
    await rebuild();
    await wait();
    await comeLate();
    await beRefused();
    await loseLeases();
    await fail();
    exported.note(await scrape());
    const [one, two, three, four, five] = fleet.lockNodes.map(({ url }) => url);
    const groups = `${[one, two, three].join(',')};${[four, five, `redis://${NOTHING}`].join(',')}`;
    const workers = await fleet.addReplica({ DIBS_WORKERS: '2', DIBS_QUORUM_NODES: groups });
    exported.note(await (await fetch(`${workers.httpUrl}/metrics`)).text());
    exported.note(await scrapeOfSecured());
  });
  afterAll(async () => {
    caller?.close();
    await fleet?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Causes a lease, a value, fresh and stale hits, and a repeated publish. */
  async function rebuild(): Promise<void> {
    const { token } = await caller.lease({ key: 'rebuilt' });
    await caller.publishText('rebuilt', token, 'value');
    expect(await caller.publishText('rebuilt', token, 'value')).toMatchObject({
      outcome: PublishOutcome.PUBLISH_OUTCOME_DUPLICATE,
    });
    expect(outcomeOf(await caller.getOrLock({ key: 'rebuilt' }))).toBe('hit');
    const old = await caller.lease({ key: 'stale' });
    const payload = { $case: 'value', value: Buffer.from('old') } as const;
    await caller.publish({ key: 'stale', token: old.token, payload, ttlMs: 1, staleMs: 60_000 });
    await sleep(5);
    await caller.lease({ key: 'stale' });
    expect(await caller.getOrLock({ key: 'stale' })).toMatchObject({ outcome: { value: { freshForMs: 0 } } });
  }

  /** Causes waits that end by a publish, a release, a failure, and a timeout of the caller. */
  async function wait(): Promise<void> {
    const keys = ['published', 'released', 'failed'];
    const leases = await Promise.all(keys.map((key) => caller.lease({ key, leaseMs: LEASE_MS })));
    const [published = '', released = '', failed = ''] = leases.map(({ token }) => token);
    const calls = keys.map((key) => caller.getOrLock({ key, waitMs: LEASE_MS }));
    await until(async () => (await waitersOf(httpUrl)) === keys.length);
    // A caller that reads too late would be served without a wait.
    await sleep(50);
    await caller.publishText('published', published, 'value');
    await caller.release({ key: 'released', token: released });
    const failure = { message: 'no such table', retryAfterMs: 60_000 };
    await caller.release({ key: 'failed', token: failed, failure });
    const answers = await Promise.all(calls);
    expect(answers.map(outcomeOf)).toEqual(['hit', 'lease', 'failed']);
    const impatient = await caller.getOrLock({ key: 'released', waitMs: 50 });
    expect(impatient).toMatchObject(busy(BusyReason.BUSY_REASON_WAIT_ENDED));
  }

  /** Causes publishes that are late, superseded, invalidated, or without a lease. */
  async function comeLate(): Promise<void> {
    const keys = ['late', 'superseded', 'invalidated', 'unknown'];
    const leases = await Promise.all(keys.slice(0, 2).map((key) => caller.lease({ key, leaseMs: SHORT_MS })));
    const third = await caller.lease({ key: 'invalidated' });
    await sleep(2 * SHORT_MS);
    await caller.lease({ key: 'superseded' });
    await caller.invalidate({ keys: ['invalidated'] });
    const tokens = [...leases.map(({ token }) => token), third.token, 'no token'];
    const outcomes = [];
    for (const [at, key] of keys.entries()) {
      outcomes.push((await caller.publishText(key, tokens[at]!, 'value')).outcome);
    }
    expect(outcomes).toEqual([
      PublishOutcome.PUBLISH_OUTCOME_STORED_LATE,
      PublishOutcome.PUBLISH_OUTCOME_SUPERSEDED,
      PublishOutcome.PUBLISH_OUTCOME_INVALIDATED,
      PublishOutcome.PUBLISH_OUTCOME_UNKNOWN_LEASE,
    ]);
  }

  /** Causes Busy answers: no budget, undecided, and a rebuild that takes longer than the deadline. */
  async function beRefused(): Promise<void> {
    await caller.lease({ namespace: TIGHT, key: 'first' });
    const second = await caller.getOrLock({ namespace: TIGHT, key: 'second', waitMs: 0 });
    expect(second).toMatchObject(busy(BusyReason.BUSY_REASON_BUDGET));

    // A majority answers "held", and no record shows a holder.
    const lock = lockKey(keyOf('default', 'split').id);
    const held = fleet.lockNodes.slice(0, 3).map(({ port }) => ['-p', `${port}`, 'SET', lock, 'somebody']);
    await Promise.all(held.map((args) => promisify(execFile)('redis-cli', args)));
    const split = await caller.getOrLock({ key: 'split', waitMs: 0 });
    expect(split).toMatchObject(busy(BusyReason.BUSY_REASON_UNDECIDED));

    for (let round = 1; round <= 4; round++) {
      const { token } = await caller.lease({ key: 'slow' });
      await sleep(400);
      await caller.publishText('slow', token, 'value', 1);
    }
    // On a busy machine, a rebuild may have run for most of its time when the call comes.
    await until(async () => {
      const { token } = await caller.lease({ key: 'slow' });
      const { outcome } = await caller.getOrLock({ key: 'slow', waitMs: 120 });
      await caller.release({ key: 'slow', token });
      return outcome?.$case === 'busy' && outcome.value.reason === BusyReason.BUSY_REASON_DEADLINE_TOO_SHORT;
    });
  }

  /** Causes an expired lease, and a lock node that does not vote. */
  async function loseLeases(): Promise<void> {
    await caller.lease({ key: 'expired', leaseMs: SHORT_MS });
    await sleep(1.5 * SHORT_MS);
    await fleet.lockNodes[4]!.kill();
    await until(async () => (await nodesIn('voting')) === 4);
    await caller.lease({ key: 'by four' });
  }

  /** Causes a full store, and a call that ends with an error. */
  async function fail(): Promise<void> {
    await fleet.store.command('CONFIG', 'SET', 'maxmemory', '1');
    const { token } = await caller.lease({ key: 'full' });
    const { outcome } = await caller.publishText('full', token, 'value');
    expect(outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_NOT_STORED);
    await fleet.store.command('CONFIG', 'SET', 'maxmemory', '0');
    await expect(caller.getOrLock({ key: '' })).rejects.toThrow(/INVALID_ARGUMENT/);
    const many = async () => {
      for await (const answer of caller.getOrLockMany({ keys: [''] })) expect(answer).toBeUndefined();
    };
    await expect(many()).rejects.toThrow(/INVALID_ARGUMENT/);
  }

  /** Returns the metrics of an embedded replica with TLS, after calls with refused credentials. */
  async function scrapeOfSecured(): Promise<string> {
    const trial = await AccessTrial.start();
    try {
      await expect(trial.by().getOrLock({ key: 'k' })).rejects.toThrow(/UNAUTHENTICATED/);
      await expect(trial.by('only-read').getOrLock({ key: 'k' })).rejects.toThrow(/PERMISSION_DENIED/);
      const { text } = await httpsGet(`${trial.httpsUrl}/metrics`, {
        token: 'operator',
        tls: { ca: trial.authority.ca },
      });
      return text;
    } finally {
      trial.closeAll();
      await trial.stop();
    }
  }

  /** Returns the names of a query that no replica exports. */
  function unknownIn({ selectors, groupings }: Query): string[] {
    const labelsOf = (metric: string): readonly string[] =>
      recorded.get(metric)?.groupings.flatMap(({ labels }) => labels) ?? exported.labelsOf(metric);
    const ofDibs = (metric: string) => !OF_PROMETHEUS.includes(metric);
    const unknown: string[] = [];
    for (const { metric, matchers } of selectors.filter(({ metric }) => ofDibs(metric))) {
      if (!exported.has(metric) && !recorded.has(metric)) unknown.push(metric);
      for (const { label, values } of matchers) {
        if (TARGET_LABELS.includes(label)) continue;
        const known = exported.valuesOf(metric, label);
        const missing = values.filter((value) => !known.has(value) && value !== `$${label}`);
        unknown.push(...missing.map((value) => `${metric}{${label}="${value}"}`));
      }
    }
    for (const { labels, metrics } of groupings) {
      for (const metric of metrics.filter(ofDibs)) {
        const known = [...TARGET_LABELS, ...labelsOf(metric)];
        unknown.push(
          ...labels.filter((label) => !known.includes(label)).map((label) => `${metric}{${label}}`),
        );
      }
    }
    return unknown;
  }

  it.each(panels)('of the panel "$title" have only exported names', (panel) => {
    const queries = queriesOf(panel);
    expect(queries).not.toEqual([]);
    for (const { expr, legend } of queries) {
      const query = parseQuery(expr);
      expect(unknownIn(query)).toEqual([]);
      const grouped = query.groupings.flatMap(({ labels }) => labels);
      const named = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);
      expect(grouped).toEqual(expect.arrayContaining(named));
    }
  });

  it.each([
    ...alerts.map((rule) => ({ name: rule.alert, ...rule })),
    ...recordings.map((rule) => ({ name: rule.record, ...rule })),
  ])('of the rule $name have only exported names', ({ expr }) => {
    const query = parseQuery(expr);
    expect(query.selectors).not.toEqual([]);
    expect(unknownIn(query)).toEqual([]);
  });

  it('of variables and annotations have only exported names', () => {
    for (const { selector, label } of variableQueries()) {
      const query = parseQuery(selector);
      expect(unknownIn(query)).toEqual([]);
      const known = [...TARGET_LABELS, ...exported.labelsOf(query.selectors[0]!.metric)];
      expect(known).toContain(label);
    }
    for (const { expr } of dashboard.annotations.list) expect(unknownIn(parseQuery(expr))).toEqual([]);
  });

  it('of the panels use every metric', () => {
    const shown = panels.flatMap((panel) =>
      queriesOf(panel).flatMap(({ expr }) => parseQuery(expr).selectors),
    );
    const names = new Set(shown.map(({ metric }) => metric.replace(/_(bucket|count|sum)$/, '')));
    expect(Object.values(METRICS).filter((name) => !names.has(name))).toEqual([]);
  });

  it('find each lock node with its state', async () => {
    const states = async () => {
      const named = (await scrape()).matchAll(/^dibs_quorum_node_state\{node="(.+)",state="(\w+)"\} 1$/gm);
      return [...named].map(([, node, state]) => `${node} ${state}`).sort();
    };
    const expected = fleet.lockNodes.map(
      ({ port }, at) => `127.0.0.1:${port} ${at === 4 ? 'connecting' : 'voting'}`,
    );
    await expect.poll(states).toEqual(expected.sort());
  });

  it('count every lock node in its state, and in no other', async () => {
    const states = exported.valuesOf(METRICS.quorumNodes, 'state');
    // A state may change between two scrapes.
    const counted = async () => {
      const counts = await Promise.all([...states].map(nodesIn));
      return counts.reduce((sum, count) => sum + count, 0);
    };
    await expect.poll(counted).toBe(5);
    await Promise.all(fleet.lockNodes.map((node) => node.kill()));
    await until(async () => (await nodesIn('connecting')) === 5);
    expect(await nodesIn('voting')).toBe(0);
    await expect.poll(counted).toBe(5);
  });
});
