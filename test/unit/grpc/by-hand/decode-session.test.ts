import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { decodeSession } from '../../../../src/grpc/by-hand/decode-session.js';
import { SessionCall, SessionRequest } from '../../../../src/grpc/generated/dibs/v1/coordinator.js';
import { decodeStrictly, NOT_UTF8, SESSION_PARTS_MAX } from '../../../../src/grpc/strict-codec.js';
import { SeededRandom } from '../../../support/seeded-random.js';

const strictly = (bytes: Uint8Array) => decodeStrictly(SessionRequest, bytes, SESSION_PARTS_MAX);
const hitCall = (id: number, key: string) =>
  SessionCall.fromPartial({
    ...{ id, deadlineMs: 32_000 },
    request: { $case: 'getOrLock', value: { key, holder: 'host:1', intent: 1 } },
  });
const message = (...calls: SessionCall[]) =>
  SessionRequest.encode(SessionRequest.fromPartial({ calls })).finish();

const TEXTS = ['', 'a', 'key', 'k'.repeat(64), 'k'.repeat(65), 'ä€😀', '\0', '\uFEFF', 'x'.repeat(2_000)];
const NUMBERS = [0, 1, -1, 127, 128, 32_000, 2 ** 31, 2 ** 32, 2 ** 48, 2 ** 49 - 1, 2 ** 49, 2 ** 53 - 1];

/** A message with some of the possible parts. */
function someMessage(random: SeededRandom): SessionRequest {
  const text = () => random.pick(TEXTS);
  const number = () => random.pick(NUMBERS);
  const ask = () => ({
    ...{
      namespace: text(),
      key: text(),
      waitMs: number(),
      leaseMs: random.fraction() < 0.5 ? number() : undefined,
    },
    ...{ stale: random.below(5), read: random.below(201), requestId: text(), holder: text() },
    intent: random.below(5),
  });
  const request = () =>
    random.pick<() => SessionCall['request']>([
      () => ({ $case: 'getOrLock', value: ask() }),
      () => ({ $case: 'getOrLock', value: ask() }),
      () => ({ $case: 'explain', value: { namespace: text(), key: text() } }),
      () => undefined,
    ])();
  const calls = Array.from({ length: random.below(5) }, () => ({
    ...{ id: number(), deadlineMs: random.fraction() < 0.5 ? number() : undefined, traceparent: text() },
    request: request(),
  }));
  const hello = { resumeToken: 't', holder: text(), watchedNamespaces: [] };
  return {
    hello: random.fraction() < 0.1 ? hello : undefined,
    calls,
    cancelledIds: random.fraction() < 0.1 ? [1, 2 ** 40] : [],
  };
}

describe('session requests are decoded', () => {
  it('as by the generated code, whatever they contain', () => {
    const random = new SeededRandom(3_891);
    for (let at = 0; at < 1_500; at += 1) {
      const bytes = SessionRequest.encode(someMessage(random)).finish();
      expect(decodeSession(bytes)).toEqual(strictly(bytes));
    }
  });

  it('as by the generated code, even if some of their bytes were changed, added or cut', () => {
    const random = new SeededRandom(3_892);
    let broken = 0;
    for (let at = 0; at < 4_000; at += 1) {
      const bytes = Buffer.from(SessionRequest.encode(someMessage(random)).finish());
      const place = random.below(bytes.byteLength + 1);
      const change = Buffer.from([random.below(256)]);
      const changed = random.pick([
        () => bytes.subarray(0, place),
        () => Buffer.concat([bytes.subarray(0, place), change, bytes.subarray(place)]),
        () => Buffer.concat([bytes.subarray(0, place), change, bytes.subarray(place + 1)]),
      ])();
      const decoded = decodeSession(changed);
      expect(decoded).toEqual(strictly(changed));
      broken += decoded.ok ? 0 : 1;
    }
    expect(broken).toBeGreaterThan(200);
  });

  it('with the last occurrence of each field', () => {
    const inner = new BinaryWriter().uint32(18).string('first').uint32(72).int32(1).uint32(18).string('last');
    const call = new BinaryWriter().uint32(8).int64(1).uint32(34).bytes(inner.finish()).uint32(8).int64(2);
    const bytes = new BinaryWriter().uint32(18).bytes(call.finish()).finish();
    const decoded = decodeSession(bytes);
    expect(decoded).toEqual(strictly(bytes));
    expect(decoded).toMatchObject({ message: { calls: [{ id: 2, request: { value: { key: 'last' } } }] } });
  });

  it('with a broken key marked and all other keys distinct, even if most were seen before', () => {
    const keys = ['a', 'b', 'ab', 'ba', 'a', 'ä', 'a'.repeat(64), 'a'.repeat(65)];
    const decoded = decodeSession(message(...keys.map((key, at) => hitCall(at + 1, key))));
    const read = decoded.ok
      ? decoded.message.calls.map(({ request }) => request?.value as { key: string })
      : [];
    expect(read.map(({ key }) => key)).toEqual(keys);
    for (let twice = 0; twice < 2; twice += 1) {
      const bytes = Buffer.from(message(hitCall(1, 'abcd')));
      bytes[bytes.indexOf('abcd') + 2] = 0xff;
      expect(decodeSession(bytes)).toMatchObject({
        message: { calls: [{ request: { value: { key: NOT_UTF8 } } }] },
      });
    }
  });

  it('with a bounded number of tags and lengths, in any message', () => {
    // Each call has two: a tag and a length.
    const empty = (calls: number) => Buffer.alloc(2 * calls, Buffer.from([18, 0]));
    expect(decodeSession(empty(SESSION_PARTS_MAX / 2))).toMatchObject({ ok: true });
    expect(decodeSession(empty(SESSION_PARTS_MAX / 2 + 1))).toMatchObject({ ok: false });
  });
});
