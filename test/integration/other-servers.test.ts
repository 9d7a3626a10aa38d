import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Degraded, ExtendOutcome, Read } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../support/caller.js';
import { examined, troublesOf } from '../support/doctor.js';
import { Fleet } from '../support/fleet.js';
import { OTHER_SERVERS, pathOf } from '../support/other-redis.js';
import { PATIENT_ENV } from '../support/patience.js';
import type { RedisServer } from '../support/redis-server.js';
import { Replica } from '../support/replica.js';
import { expire, Origin, stampede } from '../support/stampede.js';
import { until } from '../support/until.js';

// The lock nodes and the value store on other versions of Redis, and on Valkey.

const CALLERS = 200;
const START_MS_MAX = 300_000;
const PAGE = readFileSync('deploy/operations/redis-acl.md', 'utf8');

/** Returns the rule of the ACL page as arguments of ACL SETUSER. */
function ruleOf(user: string): string[] {
  const rule = new RegExp(`^user (${user} on .*)$`, 'm').exec(PAGE)?.[1];
  if (rule === undefined) throw new Error(`the page has no rule of ${user}`);
  return rule.split(' ');
}

/** Returns the path of the binary, or undefined if it is not available, which is a failure on CI. */
async function found(server: (typeof OTHER_SERVERS)[number]): Promise<string | undefined> {
  try {
    return await pathOf(server);
  } catch (error) {
    if (process.env.CI === 'true' && process.platform === 'linux' && process.arch === 'x64') throw error;
    console.warn(`SKIPPED, ${server.name} is missing: ${(error as Error).message.split('\n')[0]}`);
    return undefined;
  }
}

const servers = await Promise.all(OTHER_SERVERS.map(async (it) => ({ ...it, path: await found(it) })));

describe.each(servers)('on $name', ({ path, version }) => {
  describe.skipIf(path === undefined)('a fleet', () => {
    let fleet: Fleet;
    let callers: Caller[] = [];
    beforeAll(async () => {
      fleet = await Fleet.start({ replicas: 2, lockNodes: 3, binary: path, env: PATIENT_ENV });
      callers = fleet.replicas.map(({ target }) => new Caller(target));
    }, START_MS_MAX);
    afterAll(async () => {
      for (const caller of callers) caller.close();
      await fleet?.stop();
    });

    it('runs this version', async () => {
      for (const server of [fleet.store, ...fleet.lockNodes]) {
        expect(await server.command('INFO', 'server')).toMatch(version);
      }
    });

    it(`makes one origin call for ${CALLERS} callers`, async () => {
      const keys = ['stampede'];
      await expire(callers[0] as Caller, keys);
      const origin = new Origin(250);
      const answers = await stampede(callers, keys, CALLERS, origin);
      expect(answers.filter(({ whole }) => !whole)).toEqual([]);
      expect(origin.calls).toBe(1);
    });

    it('supports every call of Dibs', async () => {
      await everything(callers[0] as Caller, callers[1] as Caller);
    });

    it(
      'needs no more rights than the ACL page gives',
      async () => {
        const asUser = async (server: RedisServer, user: string) => {
          expect(await server.command('ACL', 'SETUSER', ...ruleOf(user))).toBe('OK\n');
          return server.url.replace('//', `//${user}:PASSWORD@`);
        };
        const nodes = await Promise.all(fleet.lockNodes.map((node) => asUser(node, 'dibs-lock')));
        const env = {
          ...PATIENT_ENV,
          DIBS_QUORUM_NODES: nodes.join(','),
          DIBS_STORE_URL: await asUser(fleet.store, 'dibs-store'),
        };
        const replica = await Replica.start(env);
        const caller = new Caller(replica.target);
        await until(
          async () => (await caller.getOrLock({ key: `first ${Math.random()}` })).degraded === 1,
          60_000,
        );
        await everything(caller, callers[1] as Caller);
        caller.close();
        await replica.kill();
        expect(troublesOf(await examined(env))).toEqual([]);
        for (const server of [fleet.store, ...fleet.lockNodes]) {
          expect((await server.command('ACL', 'LOG')).trim()).toBe('');
        }
      },
      START_MS_MAX,
    );
  });
});

let rounds = 0;

async function everything(one: Caller, two: Caller): Promise<void> {
  rounds += 1;
  const [namespace, key] = [`n${rounds}`, 'k'];
  const { token } = await one.lease({ namespace, key, leaseMs: 20_000 });
  const waiting = two.getOrLock({ namespace, key });
  expect(await one.extend({ namespace, key, token })).toMatchObject({
    outcome: ExtendOutcome.EXTEND_OUTCOME_EXTENDED,
  });
  const payload = { $case: 'value', value: Buffer.from('v') } as const;
  await one.publish({ namespace, key, token, payload, ttlMs: 60_000, tags: ['t'] });
  const answer = await waiting;
  expect(textOf(answer)).toBe('v');
  expect(answer.degraded).toBe(Degraded.DEGRADED_NONE);
  await two.invalidate({ namespace, tags: ['t'] });
  const again = await one.getOrLock({ namespace, key, read: Read.READ_STORE });
  expect(again.outcome?.$case).toBe('lease');
  if (again.outcome?.$case !== 'lease') return;
  const failure = { message: 'no', retryAfterMs: 60_000 };
  await one.release({ namespace, key, token: again.outcome.value.token, failure });
  expect((await two.getOrLock({ namespace, key, read: Read.READ_STORE })).outcome?.$case).toBe('failed');
  await two.invalidate({ namespace, all: true });
  expect((await two.explain({ namespace, key })).lease).toBeUndefined();
}
