import { describe, expect, it } from 'vitest';
import { json } from '../src/codec.js';

const encode = (value: unknown) => () => json<unknown>().encode(value);
const cycle: { name: string; self?: object } = { name: 'a' };
cycle.self = { deep: [cycle] };
const hole: number[] = [1];
hole[2] = 3;

describe('JSON restores', () => {
  it.each([
    [null],
    [''],
    ['half a pair: \ud800'],
    [0],
    [-1.5e300],
    [false],
    [[]],
    [[1, [2, { a: null }]]],
    [{ a: { b: [] }, 'c d': 1 }],
    [Object.assign(Object.create(null), { a: 1 })],
  ])('%j unchanged', (value) => {
    const bytes = json<unknown>().encode(value);
    expect(json<unknown>().decode(Buffer.from(bytes))).toEqual(value);
  });

  it('what toJSON returns, and a part that is used in two places', () => {
    const shared = { a: 1 };
    const value = { at: new Date(0), one: shared, two: shared, named: { toJSON: (name: string) => name } };
    expect(JSON.parse(Buffer.from(json<unknown>().encode(value)).toString())).toEqual({
      ...{ at: '1970-01-01T00:00:00.000Z', one: { a: 1 }, two: { a: 1 }, named: 'named' },
    });
  });
});

describe('JSON refuses, with the path to it,', () => {
  it.each([
    ['undefined', { a: undefined }, 'value.a: undefined'],
    ['undefined in a list', { a: [1, undefined] }, 'value.a[1]: undefined'],
    ['a hole in a list', hole, 'value[1]: undefined'],
    ['NaN', { items: [{ price: Number.NaN }] }, 'value.items[0].price: NaN'],
    ['Infinity', Number.NEGATIVE_INFINITY, 'value: -Infinity'],
    ['a bigint', { 'a key': { b: 1n } }, 'value["a key"].b: a bigint'],
    ['a function', { f: () => {} }, 'value.f: a function'],
    ['a symbol', [Symbol('s')], 'value[0]: a symbol'],
    ['a Map', { m: new Map() }, 'value.m: a Map'],
    ['a Set', { größe: new Set() }, 'value.größe: a Set'],
    ['a RegExp', [/a/], 'value[0]: a RegExp'],
    ['an Error', { error: new TypeError('x') }, 'value.error: an Error'],
    ['a Promise', { user: Promise.resolve(1) }, 'value.user: a Promise'],
    ['a Buffer', Buffer.from('v'), 'value: bytes have no form in JSON; set `codec: bytes()`'],
    ['bytes', { b: new Uint8Array(1) }, 'value.b: bytes'],
    ['a value that is part of itself', cycle, 'value.self.deep[0]: refers to what it is part of'],
    ['an undefined that toJSON returns', { a: { toJSON: () => [undefined] } }, 'value.a[0]: undefined'],
  ])('%s', (_name, value, said) => {
    expect(encode(value)).toThrow(TypeError);
    expect(encode(value)).toThrow(said);
  });
});
