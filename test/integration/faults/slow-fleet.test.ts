import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Degraded, PublishOutcome } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../../support/caller.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { Fleet } from '../../support/fleet.js';
import type { RedisServer } from '../../support/redis-server.js';

// Slow is not dead: servers that stall again and again, for less than the silence that counts as a loss, cost waiting
// time, but neither a second rebuild nor an error.

const KEYS = 12;
const ROUNDS = 3;
const STOPS_MS = [1_200, 300, 700];
/** Far more than that, because a busy machine makes a stall longer. */
const SILENCE_MS = 10_000;
const BETWEEN_MS = 250;
const REBUILD_MS = 50;
/** Long enough that no caller gets Busy. */
const WAIT_MS = 25_000;

describeWithRedis('a fleet that is slow', () => {
  let fleet: Fleet;
  let callers: Caller[];

  beforeAll(async () => {
    const env = { DIBS_SILENCE_MS: `${SILENCE_MS}` };
    fleet = await Fleet.start({ replicas: 2, lockNodes: 3, env });
    callers = fleet.replicas.map(({ target }) => new Caller(target));
    await Promise.all(callers.map((caller) => caller.connect()));
  });
  afterAll(async () => {
    for (const caller of callers ?? []) caller.close();
    await fleet?.stop();
  });

  /** Stops and resumes the servers, again and again, until `work` is done. */
  async function whileStanding<T>(
    servers: readonly RedisServer[],
    round: number,
    work: Promise<T>,
  ): Promise<T> {
    let done = false;
    const ended = work.finally(() => {
      done = true;
    });
    for (let at = 0; !done; at += 1) {
      for (const server of servers) server.hang();
      await Promise.race([sleep(STOPS_MS[(round + at) % STOPS_MS.length]), ended]);
      for (const server of servers) server.resume();
      await Promise.race([sleep(BETWEEN_MS), ended]);
    }
    return ended;
  }

  interface Seen {
    readonly leases: Map<string, number>;
    readonly degraded: Set<Degraded>;
    readonly outcomes: Set<PublishOutcome>;
    readonly texts: Set<string>;
  }

  /** All callers of all replicas ask for every key at once. Each caller that gets a lease rebuilds. */
  async function stampede(name: string): Promise<Seen> {
    const seen: Seen = { leases: new Map(), degraded: new Set(), outcomes: new Set(), texts: new Set() };
    const one = async (caller: Caller, key: string) => {
      const answer = await caller.getOrLock({ key, waitMs: WAIT_MS });
      seen.degraded.add(answer.degraded);
      if (answer.outcome?.$case !== 'lease') {
        seen.texts.add(textOf(answer));
        return;
      }
      seen.leases.set(key, (seen.leases.get(key) ?? 0) + 1);
      await sleep(REBUILD_MS);
      const { outcome } = await caller.publishText(key, answer.outcome.value.token, 'v');
      seen.outcomes.add(outcome);
    };
    const keys = Array.from({ length: KEYS }, (_, at) => `${name} ${at}`);
    await Promise.all(keys.flatMap((key) => [...callers, ...callers].map((caller) => one(caller, key))));
    return seen;
  }

  const STORED = [PublishOutcome.PUBLISH_OUTCOME_STORED, PublishOutcome.PUBLISH_OUTCOME_STORED_LATE];

  describe.each([
    {
      what: 'its store',
      servers: () => [fleet.store],
      levels: [Degraded.DEGRADED_NONE, Degraded.DEGRADED_QUORUM_LOST],
    },
    {
      what: 'most of its lock nodes',
      servers: () => fleet.lockNodes.slice(0, 2),
      levels: [Degraded.DEGRADED_NONE, Degraded.DEGRADED_QUORUM_LOST],
    },
    {
      what: 'all of its servers',
      servers: () => [fleet.store, ...fleet.lockNodes],
      levels: [Degraded.DEGRADED_NONE, Degraded.DEGRADED_QUORUM_LOST],
    },
  ])('because $what stalls', ({ what, servers, levels }) => {
    it('rebuilds each key once, and answers every caller', async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const seen = await whileStanding(servers(), round, stampede(`${what} ${round}`));
        expect([...seen.leases.values()]).toEqual(Array(KEYS).fill(1));
        expect([...seen.outcomes].filter((outcome) => !STORED.includes(outcome))).toEqual([]);
        expect([...seen.degraded].filter((level) => !levels.includes(level))).toEqual([]);
        expect([...seen.texts]).toEqual(['v']);
      }
    });

    it('invalidates a thousand keys', async () => {
      const keys = Array.from({ length: 1_000 }, (_, at) => `many ${at}`);
      const [caller] = callers as [Caller];
      await whileStanding(servers(), 0, caller.invalidate({ keys }));
    });
  });
});
