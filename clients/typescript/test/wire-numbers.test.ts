import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { expect, it } from 'vitest';
import { NumberReader, NumberWriter } from '../src/wire-numbers.js';

const NUMBERS = [
  0,
  1,
  127,
  128,
  2 ** 28,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 49 - 1,
  2 ** 49,
  1_790_000_000_000_000,
  2 ** 53 - 1,
  -1,
  -(2 ** 40),
];

/** Converts as the generated code does. */
const numberOf = (int64: { toString(): string }) => Number(int64.toString());

it.each(NUMBERS)('reads and writes %d as the library does', (number) => {
  const bytes = new BinaryWriter().int64(number).uint32(7).finish();
  expect(new NumberWriter().int64(number).uint32(7).finish()).toEqual(bytes);
  const reader = new NumberReader(bytes);
  expect(numberOf(reader.int64())).toBe(number);
  expect(reader.uint32()).toBe(7);
});

it.each([[[]], [[0x80]], [Array.from({ length: 9 }, () => 0xff)], [Array.from({ length: 11 }, () => 0xff)]])(
  'refuses what the library refuses: %j',
  (bytes) => {
    expect(() => new BinaryReader(Uint8Array.from(bytes)).int64()).toThrow();
    expect(() => new NumberReader(Uint8Array.from(bytes)).int64()).toThrow();
  },
);

it.each([2n ** 53n, 2n ** 53n + 1n, 2n ** 56n - 1n, 2n ** 56n, 2n ** 63n - 1n])(
  'leaves %d to the library, because a number cannot hold it',
  (number) => {
    const bytes = new BinaryWriter().int64(number).uint32(7).finish();
    const reader = new NumberReader(bytes);
    expect(String(reader.int64())).toBe(String(number));
    expect(reader.uint32()).toBe(7);
  },
);

it('refuses to write a fraction', () => {
  expect(() => new NumberWriter().int64(1.5)).toThrow();
});
