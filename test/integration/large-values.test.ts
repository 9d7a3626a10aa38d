import { afterAll, beforeAll, expect, test } from 'vitest';
import { DibsClient } from '../../clients/typescript/src/dibs.js';
import { PublishOutcome } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { PATIENT_ENV } from '../support/patience.js';

const MIB = 2 ** 20;
const BURST = 100;
/** The maximum of DIBS_VALUE_MAX_BYTES. */
const LARGEST_BYTES = 8 * MIB;

describeWithRedis('large values', () => {
  let fleet: Fleet;
  let caller: Caller;

  beforeAll(async () => {
    fleet = await Fleet.start({
      replicas: 2,
      env: { ...PATIENT_ENV, DIBS_VALUE_MAX_BYTES: `${LARGEST_BYTES}`, DIBS_NEAR_CACHE_BYTES: '0' },
    });
    caller = new Caller(fleet.replicas[0]?.target ?? '');
    await caller.connect();
  });
  afterAll(async () => {
    caller.close();
    await fleet.stop();
  });

  async function store(key: string, value: Buffer): Promise<void> {
    const { token } = await caller.lease({ key });
    const published = await caller.publish({
      key,
      token,
      payload: { $case: 'value', value },
      ttlMs: 600_000,
    });
    expect(published.outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
  }

  test(`that are fresh are hits, with ${BURST} requested at once`, async () => {
    const value = Buffer.alloc(MIB, 'v');
    const keys = Array.from({ length: BURST }, (_, at) => `burst ${at}`);
    for (const key of keys) await store(key, value);
    const outcomes = new Map<string, number>();
    for await (const { result } of caller.getOrLockMany({ keys })) {
      const outcome = result?.$case === 'response' ? result.value.outcome?.$case : result?.$case;
      outcomes.set(`${outcome}`, (outcomes.get(`${outcome}`) ?? 0) + 1);
    }
    expect(Object.fromEntries(outcomes)).toEqual({ hit: BURST });
  }, 300_000);

  test('of the largest size are stored, and read on another replica, while small ones are served', async () => {
    const value = Buffer.alloc(LARGEST_BYTES, 'v');
    await store('small', Buffer.from('small'));
    const [, small] = await Promise.all([
      store('largest', value),
      Promise.all(Array.from({ length: 20 }, () => caller.getOrLock({ key: 'small' }))),
    ]);
    expect(new Set(small.map(({ outcome }) => outcome?.$case))).toEqual(new Set(['hit']));
    const client = new DibsClient({ target: fleet.replicas[1]?.target ?? '' });
    const answer = await client.getOrLock({ key: 'largest' });
    client.close();
    expect(answer.kind).toBe('hit');
    if (answer.kind === 'hit') expect(value.equals(answer.value ?? Buffer.alloc(0))).toBe(true);
  });
});
