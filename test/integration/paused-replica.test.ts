import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Caller } from '../support/caller.js';
import { Replica } from '../support/replica.js';

// A replica that was stopped finds calls and their cancellations together when it resumes.

let replica: Replica;
let caller: Caller;
beforeAll(async () => {
  replica = await Replica.start();
  caller = new Caller(replica.target);
  await caller.connect();
});
afterAll(async () => {
  caller.close();
  await replica.kill();
});

describe('a replica that resumes', () => {
  it('gives no lease to a caller that has left in the meantime', async () => {
    replica.signal('SIGSTOP');
    const calls = Array.from({ length: 20 }, (_, at) =>
      caller.getOrLock({ key: `k${at}` }, { deadlineMs: 100 }),
    );
    for (const call of await Promise.allSettled(calls)) {
      expect(call).toMatchObject({ status: 'rejected', reason: { code: status.DEADLINE_EXCEEDED } });
    }
    await sleep(100);
    replica.signal('SIGCONT');
    await sleep(200);
    const explained = await Promise.all(calls.map((_, at) => caller.explain({ key: `k${at}` })));
    expect(explained.filter(({ lease }) => lease !== undefined)).toEqual([]);
  });
});
