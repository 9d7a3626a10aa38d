import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findPrometheus } from '../../.ci/prometheus.mjs';
import { readAlertRules } from '../support/alert-rules.js';
import { Caller } from '../support/caller.js';
import { dashboard, panels, queriesOf, variableQueries } from '../support/dashboard.js';
import { Fleet } from '../support/fleet.js';
import { RealPrometheus } from '../support/real-prometheus.js';
import { until } from '../support/until.js';
import { waitersOf } from '../support/waiters.js';

// A real Prometheus scrapes a real fleet: it accepts the rules, answers every query of the dashboard, and fires an
// alert while waits time out. dashboards.test.ts checks each query against a replica, label by label.

const PATIENCE_MS = 60_000;
/** These events do not happen here, or only by chance, and there is no TLS. */
const WITHOUT_DATA = [
  'Time until certificates end',
  'Lock nodes that do not vote, by node',
  'Store steps that fail, by step',
  'Calls that end with an error',
  'Spans, by outcome',
  'Votes missing, by node',
];

interface Rule {
  readonly name: string;
  readonly health: string;
  readonly lastError?: string;
}

interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly state: string;
}

const binaries = findPrometheus(process.cwd());
const redis = spawnSync('redis-server', ['--version']).status === 0;
const isSkipped = (binaries === undefined || !redis) && process.env.CI !== 'true';
if (isSkipped)
  console.warn('SKIPPED, prometheus or redis-server is missing: a real Prometheus on a live fleet');

describe.skipIf(isSkipped)('a real Prometheus on a live fleet', () => {
  let fleet: Fleet;
  let callers: Caller[];
  let prometheus: RealPrometheus;

  beforeAll(async () => {
    fleet = await Fleet.start({ replicas: 2 });
    callers = fleet.replicas.map(({ target }) => new Caller(target));
    const targets = fleet.replicas.map(({ httpUrl }) => new URL(httpUrl).host);
    prometheus = await RealPrometheus.start(binaries?.prometheus ?? 'prometheus', targets);
    await until(async () => (await prometheus.query('up == 1')).length === 2, PATIENCE_MS);
  });
  afterAll(async () => {
    for (const caller of callers ?? []) caller.close();
    await prometheus?.stop();
    await fleet?.stop();
  });

  const firing = async () => {
    const { alerts } = await prometheus.get<{ readonly alerts: readonly Alert[] }>('alerts');
    return alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname);
  };

  it('fires no alert for a healthy fleet, and pages while waits time out', async () => {
    const [first, second] = callers as [Caller, Caller];
    for (let at = 0; at < 20; at += 1) {
      const { token } = await first.lease({ namespace: 'shop', key: `k${at}` });
      const waits = second.getOrLock({ namespace: 'shop', key: `k${at}`, waitMs: 10_000 });
      // Otherwise, a busy machine publishes before anyone waits, and no rebuild is saved.
      await until(async () => (await waitersOf(fleet.replicas[1]?.httpUrl ?? '')) === 1, PATIENCE_MS);
      const payload = { $case: 'value' as const, value: Buffer.from('value') };
      await first.publish({ namespace: 'shop', key: `k${at}`, token, payload, ttlMs: 60_000 });
      expect((await waits).outcome?.$case).toBe('hit');
    }
    await until(
      async () => (await prometheus.query('sum(dibs_publish_total{outcome="stored"}) == 20')).length === 1,
      PATIENCE_MS,
    );
    expect(await firing()).toEqual([]);

    // A holder hangs.
    await first.lease({ namespace: 'shop', key: 'slow', leaseMs: 60_000 });
    const wait = () => second.getOrLock({ namespace: 'shop', key: 'slow', waitMs: 100 });
    // Over several scrapes: Prometheus counts the growth of a series, and not its first value.
    for (let at = 0; at < 6; at += 1) {
      await Promise.all(Array.from({ length: 10 }, wait));
      await sleep(1_000);
    }
    await until(async () => (await firing()).includes('DibsWaitsEndByTimeout'), PATIENCE_MS);
    // The label of Dibs, not of the target.
    const [alert] = await prometheus.query('ALERTS{alertname="DibsWaitsEndByTimeout", alertstate="firing"}');
    expect(alert?.metric).toMatchObject({ namespace: 'shop', severity: 'page', job: 'dibs' });
  });

  it('accepts every rule', async () => {
    const { groups } = await prometheus.get<{
      readonly groups: readonly { readonly rules: readonly Rule[] }[];
    }>('rules');
    const rules = groups.flatMap(({ rules }) => rules);
    const { alerts, recordings } = readAlertRules();
    expect(rules.map(({ name }) => name).sort()).toEqual(
      [...alerts.map(({ alert }) => alert), ...recordings.map(({ record }) => record)].sort(),
    );
    expect(rules.filter(({ health, lastError }) => health !== 'ok' || lastError)).toEqual([]);
  });

  it('answers every query of the dashboard, almost all with data', async () => {
    const chosen: Record<string, string> = {};
    for (const { selector, label } of variableQueries()) {
      const series = await prometheus.query(`count by (${label}) (${selector.replaceAll(/\$\w+/g, '.*')})`);
      expect(series.length, `${label} of ${selector}`).toBeGreaterThan(0);
    }
    for (const { name } of dashboard.templating.list) chosen[name] = '.*';
    const filled = (expr: string) =>
      expr.replaceAll(/\$\{?(\w+)(:\w+)?\}?/g, (it, name) => chosen[name] ?? it);
    const empty = async () => {
      const titles: string[] = [];
      for (const panel of panels) {
        for (const { expr } of queriesOf(panel)) {
          if ((await prometheus.query(filled(expr))).length === 0) titles.push(panel.title);
        }
      }
      return titles.filter((title) => !WITHOUT_DATA.includes(title));
    };
    // A rate needs two scrapes of its series.
    await expect.poll(empty, { timeout: PATIENCE_MS, interval: 1_000 }).toEqual([]);
    for (const { expr } of dashboard.annotations.list) await prometheus.query(filled(expr));
  });
});
