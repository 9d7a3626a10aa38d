import { describe, expect, it } from 'vitest';
import { EncodedReplies, encodeSession } from '../../../../src/grpc/by-hand/encode-session.js';
import { SessionResponse } from '../../../../src/grpc/generated/dibs/v1/coordinator.js';
import { SeededRandom } from '../../../support/seeded-random.js';

type Reply = SessionResponse['replies'][number];

const NUMBERS = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 50, 2 ** 53 - 1];
const SIZES = [0, 1, 127, 128, 300, 20_000];

/** Writes the message as grpc-js does: behind five bytes. */
function sent(message: SessionResponse): Buffer {
  const written = encodeSession(message);
  const target = Buffer.alloc(written.byteLength + 5, 0xee);
  expect(written.copy(target, 5)).toBe(written.byteLength);
  expect(target.subarray(0, 5)).toEqual(Buffer.alloc(5, 0xee));
  return target.subarray(5);
}

function someHit(random: SeededRandom) {
  const value = Buffer.alloc(random.pick(SIZES), 'v');
  return {
    payload:
      random.fraction() < 0.8
        ? ({ $case: 'value', value } as const)
        : ({ $case: 'absent', value: random.fraction() < 0.8 } as const),
    ...{
      freshness: random.below(3),
      freshForMs: random.pick([...NUMBERS, -1]),
      fence: random.pick(NUMBERS),
    },
    rebuilding: random.fraction() < 0.2,
    tags: random.pick([undefined, { names: [] }, { names: [] }, { names: ['a', 'ä€'] }]),
  };
}

function someReply(random: SeededRandom): Reply {
  const base = { id: random.pick([...NUMBERS, -1]), more: random.fraction() < 0.2 };
  const degraded = random.below(5);
  const hit = someHit(random);
  return random.pick<() => Reply>([
    () => ({
      ...base,
      response: { $case: 'getOrLock', value: { outcome: { $case: 'hit', value: hit }, degraded } },
    }),
    () => ({
      ...base,
      response: { $case: 'getOrLock', value: { outcome: { $case: 'hit', value: hit }, degraded } },
    }),
    () => ({
      ...base,
      response: {
        $case: 'getOrLock',
        value: {
          outcome: {
            $case: 'lease',
            value: { token: 't', fence: 7, expiresInMs: 9, previous: hit, reason: 1 },
          },
          degraded,
        },
      },
    }),
    () => ({ ...base, response: { $case: 'getOrLock', value: { outcome: undefined, degraded } } }),
    () => ({
      ...base,
      response: { $case: 'error', value: { code: 3, message: 'm', retryAfterMs: undefined } },
    }),
    () => ({ ...base, response: undefined }),
  ])();
}

describe('session responses are encoded', () => {
  it('as by the generated code, whatever they contain', () => {
    const random = new SeededRandom(3_893);
    for (let at = 0; at < 2_000; at += 1) {
      const message: SessionResponse = {
        welcome: random.fraction() < 0.1 ? { resumeToken: 't', resumed: true, graceMs: 5_000 } : undefined,
        replies: Array.from({ length: random.below(6) }, () => someReply(random)),
        events: random.fraction() < 0.1 ? [{ event: { $case: 'beat', value: {} } }] : [],
      };
      expect(sent(message).equals(SessionResponse.encode(message).finish())).toBe(true);
    }
  });

  it('with hits written once, straight into the bytes to send', () => {
    const random = new SeededRandom(1);
    const replies = [someReply(random), someReply(random)];
    expect(encodeSession({ welcome: undefined, replies, events: [] })).toBeInstanceOf(EncodedReplies);
  });
});
