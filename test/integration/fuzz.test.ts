import { Client, type ClientDuplexStream, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as wire from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../support/caller.js';
import { MemoryOverInputs } from '../support/memory-over-inputs.js';
import { Replica } from '../support/replica.js';
import { SeededRandom } from '../support/seeded-random.js';

// Fuzzes the messages of every call: none may end with an unexpected status, harm other callers, or end the service.
// `DIBS_TEST_LONG=1 npx vitest run test/integration/fuzz` sends 1,000,000 inputs.
// DIBS_FUZZ_SEED repeats a run.

const INPUTS = process.env.DIBS_TEST_LONG === '1' ? 600_000 : 4_000;
const SEED = Number(process.env.DIBS_FUZZ_SEED ?? Date.now() % 2 ** 31);
const IN_FLIGHT = 32;
const DEADLINE_MS = 1_000;
const SERVICE = '/dibs.v1.CoordinatorService';
/** This key is not fuzzed, so its value must not change. */
const KEPT = { namespace: 'kept', key: 'kept' };
/** Statuses of a case that the service did not expect. */
const UNEXPECTED = new Set<number>([status.UNKNOWN, status.INTERNAL, status.DATA_LOSS]);

const same = (bytes: Buffer) => bytes;
let replica: Replica;
let client: Client;
let caller: Caller;

beforeAll(async () => {
  replica = await Replica.start();
  client = new Client(replica.target, credentials.createInsecure());
  caller = new Caller(replica.target);
  const { token } = await caller.lease(KEPT);
  const payload = { $case: 'value' as const, value: Buffer.from('kept') };
  await caller.publish({ ...KEPT, token, payload, ttlMs: 3_600_000 });
});
afterAll(async () => {
  client?.close();
  caller?.close();
  await replica?.kill();
});

/** Returns a message of each kind as a caller may send it, with most fields set. */
function plainMessages(random: SeededRandom): [method: string, bytes: Uint8Array][] {
  const key = `k${random.below(20)}`;
  const request = { namespace: 'fuzzed', key };
  const token = `d1.a.1.1.1.${'x'.repeat(22)}`;
  const getOrLock = wire.GetOrLockRequest.fromPartial({
    ...{ ...request, waitMs: 0, leaseMs: 1_000, intent: random.below(4), stale: random.below(3) },
    ...{ requestId: 'r', holder: 'fuzzer' },
  });
  const publish = wire.PublishRequest.fromPartial({ ...request, token, ttlMs: 1_000, tags: ['a', 'b'] });
  publish.payload = { $case: 'value', value: Buffer.from('value') };
  const release = wire.ReleaseRequest.fromPartial({ ...request, token, failure: { message: 'no' } });
  const extend = wire.ExtendRequest.fromPartial({ ...request, token, leaseMs: 500 });
  const invalidate = wire.InvalidateRequest.fromPartial({ namespace: 'fuzzed', keys: [key], tags: ['a'] });
  const explain = wire.ExplainRequest.fromPartial(request);
  const many = wire.GetOrLockManyRequest.fromPartial({ namespace: 'fuzzed', keys: [key, 'b'], waitMs: 0 });
  const calls = [
    { $case: 'getOrLock', value: getOrLock },
    { $case: 'publish', value: publish },
    { $case: 'release', value: release },
    { $case: 'extend', value: extend },
    { $case: 'invalidate', value: invalidate },
    { $case: 'explain', value: explain },
    { $case: 'getOrLockMany', value: many },
  ] as const;
  const session = {
    hello: wire.SessionHello.fromPartial({ holder: 'fuzzer', watchedNamespaces: ['fuzzed'] }),
    calls: calls.map((it, at) => ({ id: at + 1, deadlineMs: 100, traceparent: '', request: it })),
    cancelledIds: [3],
  };
  return [
    ['GetOrLock', wire.GetOrLockRequest.encode(getOrLock).finish()],
    ['Publish', wire.PublishRequest.encode(publish).finish()],
    ['Release', wire.ReleaseRequest.encode(release).finish()],
    ['Extend', wire.ExtendRequest.encode(extend).finish()],
    ['Invalidate', wire.InvalidateRequest.encode(invalidate).finish()],
    ['Explain', wire.ExplainRequest.encode(explain).finish()],
    ['GetOrLockMany', wire.GetOrLockManyRequest.encode(many).finish()],
    ['Session', wire.SessionRequest.encode(session).finish()],
  ];
}

/** Flips bits, cuts, repeats and inserts. Some results still decode, and most almost do. */
function bent(plain: Uint8Array, random: SeededRandom): Buffer {
  let bytes = Buffer.from(plain);
  for (let times = random.below(3); times >= 0; times -= 1) {
    const at = random.below(bytes.length + 1);
    const until = at + random.below(bytes.length - at + 1);
    const kind = random.below(6);
    if (kind === 0 && at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    else if (kind === 1) bytes = bytes.subarray(0, at);
    else if (kind === 2) bytes = Buffer.concat([bytes, bytes.subarray(at, until)]);
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(until)]);
    else if (kind === 4) {
      const noise = Buffer.from(Array.from({ length: 1 + random.below(12) }, () => random.below(256)));
      bytes = Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]);
    } else {
      // The largest number that can be encoded.
      const huge = Buffer.from([...Array<number>(9).fill(0xff), 0x01]);
      bytes = Buffer.concat([bytes.subarray(0, at), huge, bytes.subarray(at)]);
    }
  }
  return bytes;
}

/** Sends a call. Returns its status. */
function send(method: string, bytes: Buffer): Promise<number> {
  const options = { deadline: Date.now() + DEADLINE_MS };
  return new Promise((resolve) => {
    const ended = (call: Pick<ClientDuplexStream<Buffer, Buffer>, 'on'>) => {
      call.on('data', () => {});
      call.on('error', () => {});
      call.on('status', ({ code }) => resolve(code));
    };
    if (method === 'Session') {
      const call = client.makeBidiStreamRequest(`${SERVICE}/${method}`, same, same, options);
      ended(call);
      call.write(bytes);
      call.end();
    } else if (method === 'GetOrLockMany') {
      ended(client.makeServerStreamRequest(`${SERVICE}/${method}`, same, same, bytes, options) as never);
    } else {
      client.makeUnaryRequest(
        `${SERVICE}/${method}`,
        same,
        same,
        bytes,
        options,
        (error: ServiceError | null) => resolve(error?.code ?? status.OK),
      );
    }
  });
}

it(`${INPUTS.toLocaleString('en')} fuzzed messages (seed ${SEED}) end as expected, and harm no caller`, async () => {
  const random = new SeededRandom(SEED);
  const ends = new Map<number, number>();
  const unexpected: string[] = [];
  const memory = new MemoryOverInputs(replica.pid, INPUTS);
  let left = INPUTS;
  const one = async () => {
    while (left > 0) {
      left -= 1;
      memory.at(INPUTS - left);
      const messages = plainMessages(random);
      const [method, plain] = messages[random.below(messages.length)] as [string, Uint8Array];
      const bytes = bent(plain, random);
      const code = await send(method, bytes);
      ends.set(code, (ends.get(code) ?? 0) + 1);
      if (UNEXPECTED.has(code)) unexpected.push(`${method} ${status[code]} ${bytes.toString('hex')}`);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
  expect(unexpected.slice(0, 5)).toEqual([]);
  console.log([...ends].map(([code, count]) => `${status[code]} ${count}`).join(', '));
  // The right amount of change: some are refused, and some are still valid.
  expect(ends.get(status.OK)).toBeGreaterThan(INPUTS / 20);
  expect(ends.get(status.INVALID_ARGUMENT)).toBeGreaterThan(INPUTS / 20);
  expect(textOf(await caller.getOrLock({ ...KEPT, waitMs: 0 }))).toBe('kept');
  expect(replica.log).not.toContain('unexpected');
  console.log(memory.text);
  expect(memory.isFlat).toBe(true);
}, 1_200_000);
