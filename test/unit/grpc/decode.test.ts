import { describe, expect, it } from 'vitest';
import { mintNonce } from '../../../src/coordination/leasing/nonce.js';
import { CoordinationError } from '../../../src/coordination/words/errors.js';
import { keyOf } from '../../../src/coordination/words/key.js';
import { defaultPolicy, type Limits } from '../../../src/coordination/words/policy.js';
import {
  type Bounds,
  decodeExplain,
  decodeExtend,
  decodeGetOrLock,
  decodeGetOrLockMany,
  decodeInvalidate,
  decodePublish,
  decodeRelease,
} from '../../../src/grpc/decode.js';
import {
  ExplainRequest,
  ExtendRequest,
  GetOrLockManyRequest,
  GetOrLockRequest,
  InvalidateRequest,
  PublishRequest,
  ReleaseRequest,
} from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { NOT_UTF8 } from '../../../src/grpc/strict-codec.js';
import { encodeToken } from '../../../src/grpc/token.js';
import { SystemChance } from '../../../src/system-chance.js';

const limits: Limits = {
  leaseMs: 10_000,
  leaseMsMin: 100,
  leaseMsMax: 60_000,
  waitMsMax: 30_000,
  valueBytesMax: 1_000,
  waitersPerKeyMax: 10,
  waitersMax: 100,
  storeTimeoutMs: 300,
  silenceMs: 2_000,
};
const policy = defaultPolicy(limits);
const bounds: Bounds = {
  limits,
  holder: '',
  policyOf: (namespace) => (namespace === 'brief' ? { ...policy, leaseMsMin: 200, leaseMsMax: 500 } : policy),
};
const YEAR_MS = 31_536_000_000;
const value = { $case: 'value', value: Buffer.from('v') } as const;
const ofBytes = (bytes: number) => 'k'.repeat(bytes);
const many = (count: number) => Array.from({ length: count }, (_, at) => `key-${at}`);

const tokenOf = (key: string, identity: string) =>
  encodeToken(keyOf('default', key), {
    kind: 'armed',
    nonce: mintNonce(new SystemChance(), identity),
    fence: 7,
    leaseMs: 1_000,
  });

/** Each call has a valid request. A row overwrites the field that it is about. */
const calls = {
  getOrLock: (said: object) => decodeGetOrLock(GetOrLockRequest.fromPartial({ key: 'k', ...said }), bounds),
  getOrLockMany: (said: object) =>
    decodeGetOrLockMany(GetOrLockManyRequest.fromPartial({ keys: ['k'], ...said }), bounds),
  publish: (said: object) =>
    decodePublish(
      { ...PublishRequest.fromPartial({ key: 'k', token: 't', ttlMs: 1, payload: value }), ...said },
      bounds,
      'checkout',
    ),
  release: (said: object) =>
    decodeRelease(ReleaseRequest.fromPartial({ key: 'k', token: 't', ...said }), bounds, 'checkout'),
  extend: (said: object) =>
    decodeExtend(ExtendRequest.fromPartial({ key: 'k', token: 't', ...said }), bounds, 'checkout'),
  invalidate: (said: object) => decodeInvalidate(InvalidateRequest.fromPartial({ keys: ['k'], ...said })),
  explain: (said: object) => decodeExplain(ExplainRequest.fromPartial({ key: 'k', ...said })),
};
type CallName = keyof typeof calls;

/** The text of the error, or the decoded request if there was none. */
function refusal(call: CallName, said: object): unknown {
  try {
    return calls[call](said);
  } catch (error) {
    if (!(error instanceof CoordinationError)) throw error;
    return `${error.kind} ${error.message}`;
  }
}

interface NumberRow {
  readonly call: CallName;
  readonly path: string;
  readonly min: number;
  readonly max: number;
  said(value: number): object;
}
const leaseMs = { path: 'lease_ms', min: 100, max: 60_000, said: (leaseMs: number) => ({ leaseMs }) };
const waitMs = { path: 'wait_ms', min: 0, max: 30_000, said: (waitMs: number) => ({ waitMs }) };
const numbers: NumberRow[] = [
  { call: 'getOrLock', ...waitMs },
  { call: 'getOrLockMany', ...waitMs },
  { call: 'getOrLock', ...leaseMs },
  { call: 'getOrLockMany', ...leaseMs },
  { call: 'extend', ...leaseMs },
  { ...leaseMs, call: 'extend', min: 200, max: 500, said: (leaseMs) => ({ leaseMs, namespace: 'brief' }) },
  { call: 'publish', path: 'ttl_ms', min: 1, max: YEAR_MS, said: (ttlMs) => ({ ttlMs }) },
  { call: 'publish', path: 'stale_ms', min: 0, max: YEAR_MS, said: (staleMs) => ({ staleMs }) },
  {
    call: 'release',
    path: 'failure.retry_after_ms',
    min: 0,
    max: 300_000,
    said: (retryAfterMs) => ({ failure: { message: 'm', retryAfterMs } }),
  },
  // An enum's bounds are its known values.
  { call: 'getOrLock', path: 'intent', min: 0, max: 3, said: (intent) => ({ intent }) },
  { call: 'getOrLock', path: 'stale', min: 0, max: 2, said: (stale) => ({ stale }) },
  { call: 'getOrLock', path: 'read', min: 0, max: 2, said: (read) => ({ read }) },
  { call: 'getOrLockMany', path: 'intent', min: 0, max: 3, said: (intent) => ({ intent }) },
  { call: 'invalidate', path: 'mode', min: 0, max: 2, said: (mode) => ({ mode }) },
  // Lists are bounded by their length.
  { call: 'getOrLockMany', path: 'keys', min: 1, max: 1000, said: (n) => ({ keys: many(n) }) },
  { call: 'publish', path: 'tags', min: 0, max: 16, said: (n) => ({ tags: many(n) }) },
  { call: 'invalidate', path: 'tags', min: 0, max: 16, said: (n) => ({ tags: many(n) }) },
  { call: 'invalidate', path: 'keys', min: 0, max: 1000, said: (n) => ({ keys: many(n), tags: ['t'] }) },
];

describe.each(numbers)('$path of $call', ({ call, path, min, max, said }) => {
  const isLength = ['keys', 'tags'].includes(path);

  it(`takes ${min} and ${max}`, () => {
    for (const good of [min, max]) expect(refusal(call, said(good))).toBeTypeOf('object');
  });

  // A list cannot be shorter than empty.
  const outside = isLength && min === 0 ? [max + 1] : [min - 1, max + 1];
  it.each(outside)('refuses %d by name', (bad) => {
    expect(refusal(call, said(bad))).toBe(`invalid_argument ${path}: ${bad} is outside ${min} to ${max}`);
  });

  // A length is never such a number.
  if (isLength) return;
  it('refuses a number beyond 2^53', () => {
    expect(refusal(call, said(Number.NaN))).toMatch(`invalid_argument ${path}: beyond 2^53`);
  });
});

interface TextRow {
  readonly call: CallName;
  readonly path: string;
  readonly min: number;
  readonly max: number;
  said(value: string): object;
}
const key = { path: 'key', min: 1, max: 1024, said: (key: string) => ({ key }) };
const texts: TextRow[] = [
  ...(['getOrLock', 'publish', 'release', 'extend', 'explain'] as const).map((call) => ({ call, ...key })),
  { call: 'getOrLockMany', path: 'keys[1]', min: 1, max: 1024, said: (key) => ({ keys: ['a', key] }) },
  { call: 'invalidate', path: 'keys[1]', min: 1, max: 1024, said: (key) => ({ keys: ['a', key] }) },
  { call: 'publish', path: 'tags[1]', min: 1, max: 256, said: (tag) => ({ tags: ['a', tag] }) },
  { call: 'invalidate', path: 'tags[0]', min: 1, max: 256, said: (tag) => ({ tags: [tag] }) },
  { call: 'getOrLock', path: 'request_id', min: 0, max: 128, said: (requestId) => ({ requestId }) },
  { call: 'getOrLock', path: 'holder', min: 0, max: 256, said: (holder) => ({ holder }) },
  {
    call: 'release',
    path: 'failure.message',
    min: 0,
    max: 4096,
    said: (message) => ({ failure: { message } }),
  },
];

describe.each(texts)('$path of $call', ({ call, path, min, max, said }) => {
  it(`takes ${min} and ${max} bytes`, () => {
    for (const good of [min, max]) expect(refusal(call, said(ofBytes(good)))).toBeTypeOf('object');
  });

  it('refuses one byte more, counting bytes of UTF-8 and not characters', () => {
    const refused = `invalid_argument ${path}: ${max + 1} bytes is outside ${min} to ${max}`;
    expect(refusal(call, said(ofBytes(max + 1)))).toBe(refused);
    expect(refusal(call, said(`€${ofBytes(max - 2)}`))).toBe(refused);
    expect(refusal(call, said(`€${ofBytes(max - 3)}`))).toBeTypeOf('object');
  });

  if (min === 0) return;
  it('refuses the empty string', () => {
    expect(refusal(call, said(''))).toBe(`invalid_argument ${path}: 0 bytes is outside ${min} to ${max}`);
  });

  it('refuses invalid UTF-8', () => {
    expect(refusal(call, said(NOT_UTF8))).toBe(`invalid_argument ${path}: its bytes are not valid UTF-8`);
  });
});

describe('namespaces', () => {
  const everyCall = Object.keys(calls) as CallName[];

  it.each(everyCall)('of %s have at most 64 of [A-Za-z0-9_.-]', (call) => {
    for (const good of ['a', 'Az09_.-', 'n'.repeat(64)]) {
      expect(refusal(call, { namespace: good })).toBeTypeOf('object');
    }
    const refused = 'invalid_argument namespace: is outside 0 to 64 of [A-Za-z0-9_.-]';
    for (const bad of ['n'.repeat(65), 'a b', 'ä', 'a/b', 'a\n', '{a}', 'a\0', NOT_UTF8]) {
      expect(refusal(call, { namespace: bad })).toBe(refused);
    }
  });

  it('are `default` if none is named', () => {
    expect(calls.getOrLock({}).key.namespace).toBe('default');
    expect(calls.invalidate({}).namespace).toBe('default');
  });
});

describe('a payload', () => {
  it('is required', () => {
    expect(refusal('publish', { payload: undefined })).toMatch('invalid_argument payload: ');
  });

  it('of kind absent must be true', () => {
    const absent = (value: boolean) => ({ payload: { $case: 'absent', value } });
    expect(calls.publish(absent(true)).payload).toEqual({ kind: 'absent' });
    expect(refusal('publish', absent(false))).toMatch('invalid_argument absent: ');
  });

  it('may be empty or as large as the bound, and no larger', () => {
    const sized = (bytes: number) => ({ payload: { $case: 'value', value: Buffer.alloc(bytes) } });
    expect(calls.publish(sized(0)).payload).toMatchObject({ kind: 'value', bytes: { length: 0 } });
    expect(calls.publish(sized(1000)).payload).toMatchObject({ bytes: { length: 1000 } });
    expect(refusal('publish', sized(1001))).toBe(
      'exhausted value: 1001 bytes is outside 0 to 1000 (DIBS_VALUE_MAX_BYTES)',
    );
  });
});

describe('an omitted field', () => {
  it('is absent in the domain too, so that the policy applies', () => {
    expect(calls.getOrLock({})).toEqual({
      key: expect.objectContaining({ namespace: 'default', key: 'k' }),
      intent: 'rebuild',
      requestId: '',
      holder: '',
    });
    expect(calls.publish({}).staleMs).toBeUndefined();
    expect(calls.release({}).failure).toBeUndefined();
    expect(calls.extend({}).leaseMs).toBeUndefined();
    expect(calls.invalidate({}).mode).toBe('delete');
  });

  it('differs from a field that is set', () => {
    expect(calls.getOrLock({ waitMs: 0, leaseMs: 100, stale: 2, read: 2, intent: 2 })).toMatchObject({
      waitMs: 0,
      leaseMs: 100,
      stale: 'forbid',
      read: 'store',
      intent: 'read',
    });
    expect(calls.getOrLock({ stale: 1, read: 1, intent: 3 })).toMatchObject({
      stale: 'allow',
      read: 'near',
      intent: 'refresh',
    });
    expect(calls.publish({ staleMs: 0 }).staleMs).toBe(0);
    expect(calls.release({ failure: { message: '', retryAfterMs: 0 } }).failure).toEqual({
      message: '',
      retryAfterMs: 0,
    });
    expect(calls.invalidate({ mode: 2 }).mode).toBe('mark_stale');
  });
});

describe('invalidate', () => {
  it('requires a key, a tag or `all`', () => {
    expect(refusal('invalidate', { keys: [] })).toMatch('invalid_argument keys: ');
    expect(calls.invalidate({ keys: [], tags: ['t'] }).tags).toEqual(['t']);
    expect(calls.invalidate({ keys: [], all: true }).all).toBe(true);
  });

  it('accepts `all` only alone', () => {
    expect(refusal('invalidate', { all: true })).toMatch('invalid_argument all: ');
    expect(refusal('invalidate', { keys: [], tags: ['t'], all: true })).toMatch('invalid_argument all: ');
  });
});

it('a repeated key counts once', () => {
  expect(calls.invalidate({ keys: ['a', 'b', 'a'] }).keys.map(({ key }) => key)).toEqual(['a', 'b']);
  expect(calls.getOrLockMany({ keys: ['a', 'b', 'a'] }).map(({ key }) => key.key)).toEqual(['a', 'b']);
});

it('a token is decoded with its key and its identity, and any other text is no token', () => {
  const own = tokenOf('k', 'checkout');
  const others = [tokenOf('k', 'search'), tokenOf('k', ''), tokenOf('another key', 'checkout')];
  for (const name of ['publish', 'release', 'extend'] as const) {
    expect(calls[name]({ token: own }).token).toMatchObject({ kind: 'armed', fence: 7, leaseMs: 1_000 });
    for (const token of ['', 'garbage', '\0\n{}', 'x'.repeat(5000), ...others]) {
      expect(calls[name]({ token }).token).toBeUndefined();
    }
  }
  expect(refusal('extend', { token: NOT_UTF8 })).toBe(
    'invalid_argument token: its bytes are not valid UTF-8',
  );
});
