import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GetOrLockRequest, SessionRequest } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller } from '../support/caller.js';
import { callHeaders, frame, literal } from '../support/http2-frames.mjs';
import { MemoryOverInputs } from '../support/memory-over-inputs.js';
import { RawHttp2 } from '../support/raw-http2.js';
import { Replica } from '../support/replica.js';
import { SeededRandom } from '../support/seeded-random.js';
import { until } from '../support/until.js';

// Fuzzes HTTP/2 frames: out of order, repeated, cut, and on wrong streams. `fuzz.test.ts` fuzzes messages, and
// `fuzz-calls.test.ts` everything around them. DIBS_FUZZ_SEED repeats a run.

const INPUTS = process.env.DIBS_TEST_LONG === '1' ? 50_000 : 1_000;
const SEED = Number(process.env.DIBS_FUZZ_SEED ?? Date.now() % 2 ** 31);
const IN_FLIGHT = 16;
/**
 * How long a connection stays open without an answer or a close, once another call was answered: a fuzzed length may make
 * the replica wait.
 */
const OPEN_MS_MAX = 300;
const KEPT = { namespace: 'kept', key: 'kept' };

const [
  DATA,
  HEADERS,
  PRIORITY,
  RST_STREAM,
  SETTINGS,
  PUSH_PROMISE,
  PING,
  GOAWAY,
  WINDOW_UPDATE,
  CONTINUATION,
] = [...Array(10).keys()] as [number, number, number, number, number, number, number, number, number, number];
const END_STREAM = 1;
const END_HEADERS = 4;

let replica: Replica;
let caller: Caller;
beforeAll(async () => {
  replica = await Replica.start();
  caller = new Caller(replica.target);
});
afterAll(async () => {
  caller?.close();
  await replica?.kill();
});

function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([head, message]);
}

const number = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** Returns the frames of one call as a client may send them, with headers and message in one frame or in several. */
function framesOfCall(stream: number, random: SeededRandom): Buffer[] {
  const isSession = random.below(4) === 0;
  const method = isSession ? 'Session' : 'GetOrLock';
  const request = { namespace: 'fuzzed', key: `k${random.below(9)}`, waitMs: random.below(20) };
  const message = isSession
    ? SessionRequest.encode(SessionRequest.fromPartial({ hello: {} })).finish()
    : GetOrLockRequest.encode(GetOrLockRequest.fromPartial(request)).finish();
  const headers = callHeaders(`/dibs.v1.CoordinatorService/${method}`);
  const block = Buffer.concat(headers.map(([name, value]) => literal(name, value)));
  const bytes = framed(message);
  const [cut, half] = [random.below(block.length), random.below(bytes.length)];
  const frames =
    random.below(3) > 0
      ? [frame(HEADERS, END_HEADERS, stream, block)]
      : [
          frame(HEADERS, 0, stream, block.subarray(0, cut)),
          frame(CONTINUATION, END_HEADERS, stream, block.subarray(cut)),
        ];
  frames.push(
    frame(DATA, 0, stream, bytes.subarray(0, half)),
    frame(DATA, END_STREAM, stream, bytes.subarray(half)),
  );
  if (random.below(3) === 0) frames.push(frame(RST_STREAM, 0, stream, number(random.below(16))));
  return frames;
}

/** Returns a frame that belongs to no call, or is never allowed. */
function strayFrame(random: SeededRandom): Buffer {
  const stream = random.below(12);
  const kind = random.below(8);
  if (kind === 0) return frame(PING, random.below(2), 0, Buffer.from(random.bytes(8)));
  if (kind === 1)
    return frame(
      SETTINGS,
      0,
      0,
      Buffer.concat([Buffer.of(0, random.below(8)), number(random.below(2 ** 31))]),
    );
  if (kind === 2) return frame(WINDOW_UPDATE, 0, stream, number(random.below(2 ** 31)));
  if (kind === 3) return frame(PRIORITY, 0, stream, Buffer.concat([number(random.below(12)), Buffer.of(1)]));
  if (kind === 4) return frame(RST_STREAM, 0, stream, number(random.below(16)));
  if (kind === 5) return frame(PUSH_PROMISE, END_HEADERS, stream, Buffer.from(random.bytes(9)));
  if (kind === 6) return frame(GOAWAY, 0, 0, Buffer.concat([number(stream), number(random.below(16))]));
  return frame(random.below(256), random.below(256), stream, Buffer.from(random.bytes(random.below(40))));
}

/** Changes one frame: another stream, other flags, a wrong length, or only a part. */
function bentFrame(plain: Buffer, random: SeededRandom): Buffer {
  const bytes = Buffer.from(plain);
  // A frame that was cut before may have no complete header.
  const kind = bytes.length < 9 ? 3 : random.below(5);
  if (kind === 0) bytes.writeUInt32BE(random.below(12), 5);
  else if (kind === 1) bytes.writeUInt8((bytes[4] as number) ^ (1 << random.below(8)), 4);
  else if (kind === 2) bytes.writeUIntBE(random.below(2 ** 14), 0, 3);
  else if (kind === 3) return bytes.subarray(0, random.below(bytes.length));
  else if (bytes.length > 9) bytes.writeUInt8(random.below(256), 9 + random.below(bytes.length - 9));
  return bytes;
}

/** Returns the frames of up to four calls, interleaved, moved, repeated, dropped, changed and mixed with others. */
function framesOf(random: SeededRandom): Buffer[] {
  const calls = Array.from({ length: 1 + random.below(4) }, (_, at) => framesOfCall(2 * at + 1, random));
  const frames: Buffer[] = [];
  while (calls.some((left) => left.length > 0)) {
    const next = random.pick(calls.filter((left) => left.length > 0)).shift();
    if (next !== undefined) frames.push(next);
  }
  for (let times = random.below(4); times > 0; times -= 1) {
    const [at, to, kind] = [random.below(frames.length), random.below(frames.length), random.below(5)];
    const it = frames[at] ?? Buffer.alloc(0);
    if (kind === 0) frames.splice(to, 0, ...frames.splice(at, 1));
    else if (kind === 1) frames.splice(to, 0, it);
    else if (kind === 2 && frames.length > 1) frames.splice(at, 1);
    else if (kind === 3) frames[at] = bentFrame(it, random);
    else frames.splice(to, 0, strayFrame(random));
  }
  return frames;
}

it(`${INPUTS.toLocaleString('en')} connections with fuzzed frames (seed ${SEED}) end, and harm no caller`, async () => {
  const random = new SeededRandom(SEED);
  const { token } = await caller.lease(KEPT);
  const payload = { $case: 'value' as const, value: Buffer.from('kept') };
  await caller.publish({ ...KEPT, token, payload, ttlMs: 3_600_000 });
  const memory = new MemoryOverInputs(replica.pid, INPUTS);
  const goaways = new Map<string, number>();
  let [left, answered] = [INPUTS, 0];
  const one = async () => {
    while (left > 0) {
      left -= 1;
      memory.at(INPUTS - left);
      // From many addresses, because a single one would soon get only five connections a second.
      const from = `127.${1 + random.below(200)}.${random.below(200)}.${1 + random.below(200)}`;
      const raw = new RawHttp2(replica.target, from);
      for (const bytes of framesOf(random)) {
        raw.write(bytes);
        if (random.below(4) === 0) await sleep(1);
      }
      const isOver = () => raw.closed || raw.goaway !== undefined || raw.headerBytes !== '';
      // A busy machine may give the replica no CPU for a while.
      if (!isOver()) await caller.getOrLock({ ...KEPT, waitMs: 0 });
      const untilMs = performance.now() + OPEN_MS_MAX;
      while (!isOver() && performance.now() < untilMs) await sleep(2);
      if (raw.headerBytes !== '') answered += 1;
      const end = raw.goaway === undefined ? 'none' : String(raw.goaway);
      goaways.set(end, (goaways.get(end) ?? 0) + 1);
      raw.end();
    }
  };
  let asked = 0;
  const beside = async () => {
    while (left > 0) {
      expect((await caller.getOrLock({ ...KEPT, waitMs: 0 })).outcome?.$case).toBe('hit');
      asked += 1;
      await sleep(20);
    }
  };
  await Promise.all([beside(), ...Array.from({ length: IN_FLIGHT }, one)]);
  console.log(
    `answered ${answered}, GOAWAY ${[...goaways].map(([code, count]) => `${code}: ${count}`).join(', ')}`,
  );
  console.log(`${memory.text}; ${asked} other calls`);
  // The right amount of change: some calls are still answered, and some connections end with a fault.
  expect(answered).toBeGreaterThan(INPUTS / 20);
  expect(INPUTS - (goaways.get('none') ?? 0)).toBeGreaterThan(INPUTS / 20);
  expect(replica.log).not.toContain('unexpected');
  expect(memory.isFlat).toBe(true);
  // None of their calls still waits.
  await until(async () => {
    const metrics = await (await fetch(`${replica.httpUrl}/metrics`)).text();
    return /^dibs_waiters(\{.*\})? 0$/m.test(metrics);
  });
}, 1_200_000);
