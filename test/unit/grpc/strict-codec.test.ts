import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import {
  CoordinatorServiceService,
  GetOrLockRequest,
  ReleaseRequest,
} from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { decodeStrictly, NOT_UTF8, strict } from '../../../src/grpc/strict-codec.js';

/** A GetOrLockRequest with these bytes as its `key`. */
const withKey = (...bytes: number[]) => new BinaryWriter().uint32(18).bytes(Uint8Array.from(bytes)).finish();
const withWait = (waitMs: bigint) => new BinaryWriter().uint32(24).int64(waitMs).finish();

function decoded(bytes: Uint8Array): GetOrLockRequest {
  const result = decodeStrictly(GetOrLockRequest, bytes);
  if (!result.ok) throw new Error(result.fault);
  return result.message;
}

describe('a string', () => {
  it.each([
    ['a lone continuation byte', [0x80]],
    ['a cut sequence', [0xe2, 0x82]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a byte that UTF-8 never has', [0x61, 0xff]],
    ['a long text with one bad byte', [...Array(100).fill(0x61), 0xfe]],
  ])('is marked if it has %s', (_what, bytes) => {
    expect(decoded(withKey(...bytes)).key).toBe(NOT_UTF8);
  });

  it('is otherwise exactly what was sent', () => {
    for (const key of ['', 'a', 'ä€😀', '\uFEFFwith a byte order mark', '\uFFFD', '\0', 'x'.repeat(2000)]) {
      expect(decoded(withKey(...Buffer.from(key))).key).toBe(key);
    }
  });

  it('that is broken never becomes the same key as another one', () => {
    const lenient = (bytes: Uint8Array) => GetOrLockRequest.decode(bytes).key;
    // The generated code alone would do that.
    expect(lenient(withKey(0x80))).toBe(lenient(withKey(0x81)));
  });
});

describe('a number', () => {
  it('is exact up to 2^53', () => {
    for (const waitMs of [0n, -1n, BigInt(Number.MAX_SAFE_INTEGER), BigInt(Number.MIN_SAFE_INTEGER)]) {
      expect(decoded(withWait(waitMs)).waitMs).toBe(Number(waitMs));
    }
  });

  it('is exact in each of its bits, with either sign', () => {
    for (let bit = 0n; bit < 53n; bit += 1n) {
      for (const waitMs of [2n ** bit, 2n ** bit - 1n, -(2n ** bit), -(2n ** bit) + 1n]) {
        if (waitMs > 2n ** 53n - 1n || waitMs < -(2n ** 53n) + 1n) continue;
        expect(decoded(withWait(waitMs)).waitMs).toBe(Number(waitMs));
      }
    }
  });

  it('is NaN beyond that', () => {
    for (const waitMs of [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)]) {
      expect(decoded(withWait(waitMs)).waitMs).toBeNaN();
    }
  });
});

describe('a message', () => {
  const good = GetOrLockRequest.encode(GetOrLockRequest.fromPartial({ key: 'k', waitMs: 5 })).finish();

  it('has at most 4,000 tags and lengths, or as many as its method may have', () => {
    const of = (fields: number) => Buffer.concat(Array.from({ length: fields }, () => withWait(1n)));
    expect(decodeStrictly(GetOrLockRequest, of(4_000)).ok).toBe(true);
    const fault = 'more than 4000 tags and lengths';
    expect(decodeStrictly(GetOrLockRequest, of(4_001))).toEqual({ ok: false, fault });
    expect(decodeStrictly(GetOrLockRequest, of(4_001), 4_001).ok).toBe(true);
    // Fields of a later version and in groups count too.
    const group = Buffer.concat([Buffer.of(0x83, 0x02), of(4_000), Buffer.of(0x84, 0x02)]);
    expect(decodeStrictly(GetOrLockRequest, group)).toEqual({ ok: false, fault });
  });

  it('is a fault if its bytes cannot be decoded', () => {
    for (const bytes of [
      Uint8Array.of(0x12, 0x05, 0x61),
      Uint8Array.of(0x12),
      Uint8Array.of(0xff),
      Uint8Array.of(0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
      Uint8Array.of(0x0f, 0x01),
      Uint8Array.of(...good, 0x00, 0x12, 0x01, 0x62),
      Uint8Array.of(...good, 0x0c, 0x12, 0x01, 0x62),
    ]) {
      expect(decodeStrictly(GetOrLockRequest, bytes)).toEqual({ ok: false, fault: expect.any(String) });
    }
  });

  it('may contain fields of a later version', () => {
    const later = Uint8Array.of(...good, 0xfa, 0x07, 0x01, 0x61);
    expect(decoded(later)).toMatchObject({ key: 'k', waitMs: 5 });
  });

  it('is decoded strictly in its inner messages too', () => {
    const failure = new BinaryWriter().uint32(10).bytes(Uint8Array.of(0xff)).finish();
    const bytes = new BinaryWriter().uint32(34).bytes(failure).finish();
    expect(decodeStrictly(ReleaseRequest, bytes)).toMatchObject({
      ok: true,
      message: { failure: { message: NOT_UTF8 } },
    });
  });

  it('never makes the deserializer throw', () => {
    const method = strict(CoordinatorServiceService.getOrLock, (bytes) =>
      decodeStrictly(GetOrLockRequest, bytes),
    );
    let state = 1;
    const byte = () => {
      state = (state * 48_271) % 2_147_483_647;
      return state & 0xff;
    };
    for (let round = 0; round < 3_000; round += 1) {
      const bytes = Buffer.from(Array.from({ length: round % 40 }, byte));
      expect(method.requestDeserialize(bytes)).toHaveProperty('ok');
    }
  });
});
