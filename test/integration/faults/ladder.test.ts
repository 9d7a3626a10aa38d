import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Degraded, PublishOutcome } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../../support/caller.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { Fleet } from '../../support/fleet.js';
import { runningMs } from '../../support/running-ms.js';
import { until } from '../../support/until.js';

// Each step of the degradation, down and up, as callers, /metrics and the log show it. Only killed processes are restarted.

const LEASE_MS_MAX = 1_000;
/** A step takes some seconds of silence. */
const RUNG_MS_MAX = 60_000;

describeWithRedis('the levels of degradation', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-ladder-'));
  let fleet: Fleet;
  let caller: Caller;

  beforeAll(async () => {
    const config = join(folder, 'dibs.yaml');
    writeFileSync(config, 'namespaces: { strict: { on_loss: fail } }');
    const env = {
      DIBS_LOG_LEVEL: 'info',
      DIBS_LEASE_MS: '1000',
      DIBS_LEASE_MAX_MS: `${LEASE_MS_MAX}`,
      DIBS_CONFIG: config,
    };
    fleet = await Fleet.start({ replicas: 1, lockNodes: 3, env });
    caller = new Caller(fleet.replicas[0]?.target ?? '');
  });
  afterAll(async () => {
    caller?.close();
    await fleet?.stop();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => onLevel('none'));
  // A test that fails leaves the others what they need.
  afterEach(() => {
    fleet.store.resume();
    for (const node of fleet.lockNodes) node.resume();
  });

  let keys = 0;
  const fresh = () => {
    keys += 1;
    return { key: `k${keys}`, waitMs: 0 };
  };

  async function modeInMetrics(): Promise<string | undefined> {
    const text = await (await fetch(`${fleet.replicas[0]?.httpUrl}/metrics`)).text();
    return /^dibs_degraded\{[^}]*mode="(\w+)"[^}]*\} 1$/m.exec(text)?.[1];
  }

  function lastStep(): string {
    const steps = [...(fleet.replicas[0]?.log.matchAll(/"from":"(\w+)","to":"(\w+)"/g) ?? [])].filter(
      ([, from]) => /^(none|quorum_lost|store_lost|local)$/.test(from ?? ''),
    );
    return steps.at(-1)?.[2] ?? 'none';
  }

  /** Waits until callers, the metric and the log all show this mode. */
  async function onLevel(mode: 'none' | 'quorum_lost' | 'store_lost' | 'local'): Promise<void> {
    const expected = Degraded[`DEGRADED_${mode.toUpperCase()}` as keyof typeof Degraded];
    await until(
      async () => (await caller.getOrLock(fresh())).degraded === expected && (await modeInMetrics()) === mode,
      RUNG_MS_MAX,
    );
    // The log comes through a pipe, and a little later.
    await until(() => lastStep() === mode);
  }

  /** Expects that a namespace with `on_loss: fail` refuses long before the wait is over, and says why. */
  async function strictFails(why: RegExp): Promise<void> {
    const refused = caller
      .getOrLock({ ...fresh(), namespace: 'strict', waitMs: 30_000 })
      .catch((error: unknown) => error);
    expect(await runningMs(() => refused)).toBeLessThan(10_000);
    expect(await refused).toMatchObject({ details: expect.stringMatching(why) });
  }

  /** Runs what must happen within a lease. If a busy machine took longer than that, it runs again. */
  async function withinALease(run: () => Promise<void>): Promise<void> {
    for (;;) {
      const startMs = performance.now();
      try {
        return await run();
      } catch (error) {
        if (performance.now() - startMs < LEASE_MS_MAX / 2) throw error;
      }
    }
  }

  const majority = () => fleet.lockNodes.slice(0, 2);
  const publish = async (name: string, token: string) => (await caller.publishText(name, token, 'v')).outcome;

  it('without a majority of lock nodes: the store alone gives leases, one at a time, which count', async () => {
    for (const node of majority()) await node.kill();
    await onLevel('quorum_lost');
    await strictFails(/lock nodes.*on_loss is fail/);
    await withinALease(async () => {
      const { key: name } = fresh();
      const { token, fence } = await caller.lease({ key: name });
      expect(fence).toBeGreaterThan(0);
      expect((await caller.getOrLock({ key: name, waitMs: 0 })).outcome?.$case).toBe('busy');
      expect(await publish(name, token)).toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
      expect(textOf(await caller.getOrLock({ key: name }))).toBe('v');
    });
    for (const node of majority()) await node.restart();
    await onLevel('none');
  });

  it('without the store: the quorum gives leases, their results are never stored, and there are no hits', async () => {
    fleet.store.hang();
    await onLevel('store_lost');
    await strictFails(/value store.*on_loss is fail/);
    const { key: name } = fresh();
    await withinALease(async () => {
      const { key: name } = fresh();
      const { token, fence } = await caller.lease({ key: name });
      expect(fence).toBe(0);
      const waiting = caller.getOrLock({ key: name, waitMs: 5_000 });
      await sleep(100);
      expect(await publish(name, token)).toBe(PublishOutcome.PUBLISH_OUTCOME_NOT_STORED);
      expect(textOf(await waiting)).toBe('v');
    });
    await expect(caller.invalidate({ keys: [name] })).rejects.toThrow(/UNAVAILABLE/);
    fleet.store.resume();
    await onLevel('none');
    const again = async () => (await caller.getOrLock({ key: name, waitMs: 0 })).outcome?.$case;
    await expect.poll(again).toBe('lease');
  });

  it('without either: the replica allows one rebuild at a time, and reports each step back up', async () => {
    fleet.store.hang();
    for (const node of fleet.lockNodes) node.hang();
    await onLevel('local');
    await withinALease(async () => {
      const { key: name } = fresh();
      const { token } = await caller.lease({ key: name });
      expect((await caller.getOrLock({ key: name, waitMs: 0 })).outcome?.$case).toBe('busy');
      expect(await publish(name, token)).toBe(PublishOutcome.PUBLISH_OUTCOME_NOT_STORED);
    });
    fleet.store.resume();
    await onLevel('quorum_lost');
    for (const node of fleet.lockNodes) node.resume();
    await onLevel('none');
  });
});
