import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Beside, isServed } from '../../support/beside.js';
import { Caller } from '../../support/caller.js';
import { endOf, Http2Connection } from '../../support/http2-connection.js';
import { memoryOf } from '../../support/memory-of.js';
import { Replica } from '../../support/replica.js';

// Requests that cost more than they should. Set DIBS_TEST_MAIN to measure another build.

const MAIN = process.env.DIBS_TEST_MAIN ?? 'dist/main.js';
const GET_OR_LOCK = '/dibs.v1.CoordinatorService/GetOrLock';
const MEBIBYTE = 1_048_576;

let replica: Replica;
let beside: Beside;
beforeAll(async () => {
  replica = await Replica.start({}, MAIN);
  beside = await Beside.start(replica);
});
afterAll(async () => {
  beside?.close();
  await replica?.kill();
});

/** Sends the length of a request, and then only a part of it. Returns how it ended. */
function begin(http2: Http2Connection, bytes: number, sent: number): Promise<string> {
  const stream = http2.call(GET_OR_LOCK);
  const ended = endOf(stream);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes, 1);
  stream.write(head);
  stream.write(Buffer.alloc(sent, 'x'));
  return ended;
}

describe('requests that are never finished', () => {
  it('cost bounded memory, and are refused after a while', async () => {
    const before = memoryOf(replica.pid);
    const ended = new Map<string, number>();
    let most = 0;
    let refusal = '';
    const seen = await beside.during('1,000 requests of 1 MiB less one byte', async () => {
      const connections = [0, 1].map(() => new Http2Connection(replica.target));
      const requests = connections.flatMap((http2) =>
        Array.from({ length: 500 }, () => begin(http2, MEBIBYTE, MEBIBYTE - 1)),
      );
      const first = Promise.race(requests);
      for (const one of requests) void one.then((it) => ended.set(it, (ended.get(it) ?? 0) + 1));
      const watch = setInterval(() => {
        most = Math.max(most, memoryOf(replica.pid) - before);
      }, 100);
      refusal = await Promise.race([first, sleep(80_000, 'none')]);
      clearInterval(watch);
      await Promise.all(connections.map((http2) => http2.end()));
    });
    console.log(`most memory: ${Math.round(most / MEBIBYTE)} MiB; ended: ${JSON.stringify([...ended])}`);
    expect(seen).toSatisfy(isServed);
    expect(most).toBeLessThan(512 * MEBIBYTE);
    // A gRPC client reads the second as the first. The third is a reset that arrived before its status.
    expect([
      String(status.RESOURCE_EXHAUSTED),
      'Stream closed with error code NGHTTP2_ENHANCE_YOUR_CALM',
      'closed 0',
    ]).toContain(refusal);
  });

  it('do not fail other calls of the same connection if they are finished at last', async () => {
    // Far more large values at once than the bound allows. They wait for each other.
    const caller = new Caller(replica.target);
    const value = Buffer.alloc(MEBIBYTE - 100, 'x');
    const publish = async (at: number) => {
      const key = `large ${at}`;
      const { token } = await caller.lease({ key, leaseMs: 60_000 });
      return caller.publish({ key, token, payload: { $case: 'value', value }, ttlMs: 60_000 });
    };
    const seen = await beside.during('100 publishes of 1 MiB at once', async () => {
      const outcomes = await Promise.all(Array.from({ length: 100 }, (_, at) => publish(at)));
      expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set([1]));
    });
    expect(seen).toSatisfy(isServed);
    caller.close();
  });
});

describe('3,000 waits that are cancelled at once on one connection', () => {
  it('end no other call of this connection', async () => {
    const caller = new Caller(replica.target);
    await caller.connect();
    await caller.lease({ key: 'waited for', leaseMs: 60_000 });
    for (const key of ['a', 'b', 'c']) await caller.lease({ key, leaseMs: 60_000 });
    const uninvolved = ['a', 'b', 'c'].flatMap((key) =>
      Array.from({ length: 30 }, () => caller.getOrLock({ key, waitMs: 4_000 })),
    );
    const seen = await beside.during('3,000 cancelled waits', async () => {
      await Promise.all(
        Array.from({ length: 3_000 }, () =>
          caller.getOrLock({ key: 'waited for', waitMs: 30_000 }, { deadlineMs: 1_500 }).catch(() => {}),
        ),
      );
      const ended = await Promise.allSettled(uninvolved);
      const failed = ended.filter(({ status }) => status === 'rejected');
      console.log(`${failed.length} of ${ended.length} uninvolved calls failed`);
      expect(failed).toEqual([]);
      // The next call uses the next connection.
      await caller.getOrLock({ key: 'a', waitMs: 0 });
    });
    expect(seen).toSatisfy(isServed);
    caller.close();
  });
});

it('a call waits as long as it asks for, also if its deadline is in a month', async () => {
  const caller = new Caller(replica.target);
  await caller.lease({ key: 'of this month', leaseMs: 60_000 });
  const beganMs = performance.now();
  const deadlineMs = 30 * 24 * 3_600_000;
  const { outcome } = await caller.getOrLock({ key: 'of this month', waitMs: 500 }, { deadlineMs });
  expect(outcome?.$case).toBe('busy');
  expect(performance.now() - beganMs).toBeGreaterThan(400);
  caller.close();
});
