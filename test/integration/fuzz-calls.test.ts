import { constants } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { deflateSync, gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GetOrLockRequest } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../support/caller.js';
import { endOf, Http2Connection } from '../support/http2-connection.js';
import { MemoryOverInputs } from '../support/memory-over-inputs.js';
import { Replica } from '../support/replica.js';
import { SeededRandom } from '../support/seeded-random.js';

// Fuzzes everything around a message: metadata, compression, and incomplete messages. `fuzz.test.ts` fuzzes the
// messages. DIBS_FUZZ_SEED repeats a run.

const INPUTS = process.env.DIBS_TEST_LONG === '1' ? 350_000 : 2_000;
const SEED = Number(process.env.DIBS_FUZZ_SEED ?? Date.now() % 2 ** 31);
const IN_FLIGHT = 16;
/** A connection with more open or cancelled calls accepts no new ones. */
const CALLS_PER_CONNECTION = 300;
const METHODS = ['GetOrLock', 'GetOrLockMany', 'Session', 'Explain', 'None'];
/** A deadline as gRPC defines it. */
const TIMEOUT = /^\d{1,8}[HMSmun]$/;
/** Statuses of a case that the service did not expect. */
const UNEXPECTED = [status.UNKNOWN, status.INTERNAL, status.DATA_LOSS].map(String);

let replica: Replica;
let caller: Caller;
beforeAll(async () => {
  replica = await Replica.start({ DIBS_COMPRESSED_REQUESTS: 'true' });
  caller = new Caller(replica.target);
});
afterAll(async () => {
  caller?.close();
  await replica?.kill();
});

const word = (random: SeededRandom) =>
  String.fromCharCode(...Array.from({ length: random.below(12) }, () => 33 + random.below(94)));

function headersOf(random: SeededRandom): Record<string, string> {
  const odd = (...values: string[]) => random.pick([...values, word(random)]);
  const headers: Record<string, string> = {};
  for (let times = random.below(4); times > 0; times -= 1) {
    const kind = random.below(6);
    if (kind === 0) headers['grpc-timeout'] = odd('1m', '0S', '-1S', '99999999H', '1', '100u', '123456789S');
    if (kind === 1) headers.authorization = odd('Bearer x', 'Basic x', 'Bearer', '');
    if (kind === 2) headers.traceparent = odd(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, '00-0-0-00');
    if (kind === 3) headers['odd-bin'] = odd('AAAA', '=', 'A', '!!!');
    if (kind === 4) headers['grpc-accept-encoding'] = odd('gzip', 'identity,,', 'br');
    if (kind === 5) headers[`x-${random.below(1_000)}`] = 'y'.repeat(random.below(2_000));
  }
  return headers;
}

/** Returns a framed message, and whether its flag says that it is compressed. */
function framed(random: SeededRandom): { bytes: Buffer; encoding?: string; isCompressed: boolean } {
  const message = Buffer.from(
    GetOrLockRequest.encode(GetOrLockRequest.fromPartial({ key: `k${random.below(9)}`, waitMs: 0 })).finish(),
  );
  const kind = random.below(6);
  let body = message;
  if (kind === 0) body = gzipSync(message);
  if (kind === 1) body = deflateSync(message);
  if (kind === 2) body = Buffer.from(random.bytes(random.below(40)));
  const head = Buffer.alloc(5);
  const flag = kind < 3 ? 1 : random.pick([0, 0, 0, 2, 255]);
  head.writeUInt8(flag, 0);
  head.writeUInt32BE(random.pick([body.length, body.length, body.length, body.length + 9, 2 ** 31]), 1);
  const encoding = random.pick(['gzip', 'deflate', 'identity', 'br', undefined, undefined]);
  return { bytes: Buffer.concat([head, body]), isCompressed: flag !== 0, ...(encoding && { encoding }) };
}

/** Sends one call. Returns how it ended. */
async function send(http2: Http2Connection, random: SeededRandom) {
  const { bytes, encoding, isCompressed } = framed(random);
  const headers: Record<string, string> = {
    ...headersOf(random),
    ...(encoding && { 'grpc-encoding': encoding }),
  };
  const stream = http2.call(`/dibs.v1.CoordinatorService/${random.pick(METHODS)}`, headers);
  const ended = endOf(stream);
  const isHalf = random.below(4) === 0;
  stream.write(isHalf ? bytes.subarray(0, random.below(bytes.length)) : bytes);
  if (isHalf && random.below(2) === 0) {
    await Promise.race([ended, sleep(random.below(10))]);
    await new Promise((resolve) => setImmediate(resolve));
    stream.close(constants.NGHTTP2_CANCEL);
  } else stream.end();
  return { code: await ended, isCompressed, headers, bytes };
}

it(`${INPUTS.toLocaleString('en')} fuzzed calls (seed ${SEED}) get expected statuses`, async () => {
  const random = new SeededRandom(SEED);
  const ends = new Map<string, number>();
  const unexpected: string[] = [];
  const memory = new MemoryOverInputs(replica.pid, INPUTS);
  let left = INPUTS;
  const one = async () => {
    let http2 = new Http2Connection(replica.target);
    for (let calls = 1; left > 0; calls += 1) {
      left -= 1;
      memory.at(INPUTS - left);
      if (calls % CALLS_PER_CONNECTION === 0 || !http2.isOpen) {
        await http2.end();
        http2 = new Http2Connection(replica.target);
      }
      const { code, isCompressed, headers, bytes } = await send(http2, random);
      ends.set(code, (ends.get(code) ?? 0) + 1);
      // grpc-js itself answers INTERNAL if a message cannot be decompressed, or if it cannot read the deadline.
      const isOfGrpc = isCompressed || !TIMEOUT.test(headers['grpc-timeout'] ?? '1S');
      if (UNEXPECTED.includes(code) && !(isOfGrpc && code === String(status.INTERNAL))) {
        unexpected.push(`${code} ${JSON.stringify(headers)} ${bytes.toString('hex')}`);
      }
    }
    await http2.end();
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
  console.log([...ends].map(([code, count]) => `${status[Number(code)] ?? code} ${count}`).join(', '));
  console.log(memory.text);
  expect(unexpected.slice(0, 5)).toEqual([]);
  await caller.getOrLock({ key: 'after', waitMs: 0 });
  expect(replica.log).not.toContain('unexpected');
  expect(memory.isFlat).toBe(true);
}, 1_200_000);
