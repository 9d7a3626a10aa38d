import type { MethodDefinition } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { encoded, Gathered, gathered, LARGE_BYTES } from '../../../src/grpc/gather.js';
import {
  CoordinatorServiceService as contract,
  GetOrLockManyResponse,
  GetOrLockResponse,
  SessionResponse,
} from '../../../src/grpc/generated/dibs/v1/coordinator.js';

function hit(value: Uint8Array): GetOrLockResponse {
  return GetOrLockResponse.fromPartial({
    outcome: {
      $case: 'hit',
      value: {
        payload: { $case: 'value', value },
        freshForMs: 60_000,
        fence: 2 ** 50,
        tags: { names: ['a'] },
      },
    },
    degraded: 1,
  });
}

function lease(previous: Uint8Array): GetOrLockResponse {
  return GetOrLockResponse.fromPartial({
    outcome: {
      $case: 'lease',
      value: {
        token: 'token',
        fence: 7,
        previous: { payload: { $case: 'value', value: previous }, rebuilding: true },
      },
    },
  });
}

const reply = (id: number, value: GetOrLockResponse) => ({
  ...{ id, more: false },
  response: { $case: 'getOrLock' as const, value },
});

/** Writes the message as grpc-js does: behind five bytes. */
function sent(message: Buffer | Gathered): Buffer {
  const target = Buffer.alloc(message.byteLength + 5);
  message.copy(target, 5);
  return target.subarray(5);
}

const large = Buffer.alloc(300_000, 'large');
const other = Buffer.alloc(LARGE_BYTES, 'other');

it('writes the same bytes as the generated code', () => {
  const values = [Buffer.alloc(0), Buffer.from('small'), Buffer.alloc(LARGE_BYTES - 1, 'x'), other, large];
  for (const value of values) {
    for (const message of [hit(value), lease(value)]) {
      const plain = GetOrLockResponse.encode(message).finish();
      expect(sent(encoded(GetOrLockResponse, message)).equals(plain)).toBe(true);
    }
    const one = GetOrLockManyResponse.fromPartial({
      key: 'a key',
      result: { $case: 'response', value: hit(value) },
    });
    const plain = GetOrLockManyResponse.encode(one).finish();
    expect(sent(encoded(GetOrLockManyResponse, one)).equals(plain)).toBe(true);
  }
  const all = SessionResponse.fromPartial({
    replies: values.flatMap((value, at) => [reply(2 * at + 1, hit(value)), reply(2 * at + 2, lease(value))]),
    events: [{ event: { $case: 'beat', value: {} } }],
  });
  expect(sent(encoded(SessionResponse, all)).equals(SessionResponse.encode(all).finish())).toBe(true);
});

it('copies no large value before it is sent, and gathers no small ones', () => {
  const message = SessionResponse.fromPartial({ replies: [] });
  // `fromPartial` keeps these bytes without a copy.
  message.replies.push(reply(1, hit(large)), reply(2, hit(large)), reply(3, lease(other)));
  const { parts } = encoded(SessionResponse, message) as Gathered;
  expect(parts.filter((part) => part === large)).toHaveLength(2);
  expect(parts.filter((part) => part === other)).toHaveLength(1);
  expect(encoded(GetOrLockResponse, hit(other))).toBeInstanceOf(Gathered);
  expect(encoded(GetOrLockResponse, hit(other.subarray(1)))).toBeInstanceOf(Buffer);
});

it('changes only how the answers of a method are written', () => {
  const plain = contract.getOrLock as MethodDefinition<unknown, GetOrLockResponse>;
  const { responseSerialize, ...rest } = gathered(plain, GetOrLockResponse);
  expect(rest).toEqual({ ...plain, responseSerialize: undefined });
  expect(sent(responseSerialize(hit(large))).equals(plain.responseSerialize(hit(large)))).toBe(true);
});
