import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  Degraded,
  Intent,
  type Lease,
  PublishOutcome,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { Caller } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { examined, troublesOf } from '../support/doctor.js';
import { PATIENT_ENV } from '../support/patience.js';
import { RedisServer } from '../support/redis-server.js';
import { Replica } from '../support/replica.js';

const KEYS = 40;
const PATIENCE = { timeout: 60_000, interval: 200 };
const NONE = Degraded.DEGRADED_NONE;
const LOST = Degraded.DEGRADED_QUORUM_LOST;

describeWithRedis('a fleet with two groups of lock nodes', () => {
  let servers: RedisServer[];
  const opened: { kill?: () => Promise<unknown>; close?: () => void }[] = [];
  beforeAll(async () => {
    servers = await Promise.all(Array.from({ length: 7 }, () => RedisServer.start()));
  });
  afterEach(async () => {
    for (const one of opened.splice(0)) {
      one.close?.();
      await one.kill?.();
    }
  });
  afterAll(() => Promise.all(servers.map((server) => server.stop())));

  const listOf = (from: number, to: number) =>
    servers
      .slice(from, to)
      .map(({ url }) => url)
      .join();
  /** The name of a group in logs and metrics. */
  const labelOf = (from: number, to: number) =>
    servers
      .slice(from, to)
      .map(({ port }) => `127.0.0.1:${port}`)
      .sort()[0];

  const envOf = (nodes: string) => ({
    DIBS_QUORUM_NODES: nodes,
    DIBS_STORE_URL: servers[6]?.url ?? '',
    ...PATIENT_ENV,
    DIBS_LOG_LEVEL: 'info',
  });

  async function replicaOf(nodes: string): Promise<{ replica: Replica; caller: Caller }> {
    const replica = await Replica.start(envOf(nodes));
    const caller = new Caller(replica.target);
    opened.push(caller, replica);
    return { replica, caller };
  }

  /** Asks for all keys at once, without waiting. */
  async function askFor(
    caller: Caller,
    name: string,
  ): Promise<(readonly [string, Lease | undefined, Degraded])[]> {
    return Promise.all(
      Array.from({ length: KEYS }, async (_, at) => {
        const key = `${name} ${at}`;
        const { outcome, degraded } = await caller.getOrLock({
          key,
          leaseMs: 30_000,
          waitMs: 0,
          intent: Intent.INTENT_REBUILD,
        });
        return [key, outcome?.$case === 'lease' ? outcome.value : undefined, degraded] as const;
      }),
    );
  }

  test('gives one lease per key while replicas differ in their groups, and stores each result', async () => {
    // A rollout that adds a group. The first start of the second group needs no wait.
    const before = await replicaOf(listOf(0, 3));
    const after = await replicaOf(`${listOf(3, 6)};${listOf(0, 3)}`);
    let round = 0;
    let answers: Awaited<ReturnType<typeof askFor>>[] = [];
    // On a busy machine, the nodes may be late at first, and a whole round may go without a lease.
    const leasesGiven = async () => {
      round += 1;
      const ask = ({ caller }: typeof before) => askFor(caller, `both ${round}`);
      answers = await Promise.all([ask(before), ask(after)]);
      const all = answers.flat();
      return all.some(([, lease]) => lease) && all.every(([, , degraded]) => degraded === NONE);
    };
    await expect.poll(leasesGiven, PATIENCE).toBe(true);
    const leases = answers.flat().flatMap(([key, lease]) => (lease === undefined ? [] : [{ key, lease }]));
    expect(new Set(leases.map(({ key }) => key)).size).toBe(leases.length);
    // Each lease is published at the replica that did not give it.
    const [first] = answers;
    const given = new Set(first?.flatMap(([, lease]) => lease?.token.toString() ?? []));
    const outcomes = await Promise.all(
      leases.map(({ key, lease: { token } }) => {
        const { caller } = given.has(token.toString()) ? after : before;
        return caller.publish({ key, token, payload: { $case: 'absent', value: true }, ttlMs: 60_000 });
      }),
    );
    for (const { outcome } of outcomes) expect(outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
  });

  test('degrades only the keys of a lost group, and names the group', async () => {
    const nodes = `${listOf(0, 3)};${listOf(3, 6)}`;
    const { replica, caller } = await replicaOf(nodes);
    const metrics = async () => (await fetch(`${replica.httpUrl}/metrics`)).text();
    let round = 0;
    const ask = async () => {
      round += 1;
      return askFor(caller, `round ${round}`);
    };
    await expect.poll(async () => (await ask()).every(([, lease]) => lease), PATIENCE).toBe(true);
    const [kept, lost] = [labelOf(0, 3), labelOf(3, 6)];
    await expect.poll(metrics, PATIENCE).toMatch(`dibs_quorum_nodes{state="voting",group="${lost}"} 3\n`);
    for (const node of servers.slice(3, 5)) await node.kill();
    const degraded = async () => [...new Set((await ask()).map(([, , how]) => how))].sort();
    await expect.poll(degraded, PATIENCE).toEqual([NONE, LOST].sort());
    await expect.poll(metrics, PATIENCE).toMatch(`dibs_quorum_nodes{state="voting",group="${lost}"} 1\n`);
    const page = await metrics();
    expect(page).toMatch(`dibs_quorum_nodes{state="voting",group="${kept}"} 3\n`);
    expect(page).toMatch('dibs_degraded{mode="quorum_lost"} 1\n');
    const line = replica.log.split('\n').find((text) => text.includes(LOG.degraded)) ?? '{}';
    expect(JSON.parse(line)).toMatchObject({ level: 'warn', to: 'quorum_lost', groups: [lost] });

    const diagnosis = await examined(envOf(nodes));
    expect(troublesOf(diagnosis).filter((text) => text.includes('majority'))).toEqual([
      expect.stringContaining(`1 of 3 are fit in the group of ${lost}, and 2 are needed`),
    ]);
    const fine = diagnosis.findings.find(({ check, result }) => check === 'majority' && result === 'ok');
    expect(fine?.detail).toBe(`3 of 3 are fit in the group of ${kept}, and 2 are needed`);
  });
});
