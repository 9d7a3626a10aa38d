import { describe } from 'vitest';
import { MemoryLeaseQuorum } from '../../src/memory/lease-quorum.js';
import type { RedlockQuorum } from '../../src/quorum/redlock-quorum.js';
import { ShardedQuorum } from '../../src/quorum/sharded-quorum.js';
import { SystemClock } from '../../src/system-clock.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { ManualClock } from '../support/manual-clock.js';
import { QuorumTrial } from '../support/quorum-trial.js';
import { leaseQuorumContract } from './lease-quorum.contract.js';

describe('the quorum in memory', () => {
  leaseQuorumContract(async () => {
    const clock = new ManualClock();
    const quorum = new MemoryLeaseQuorum({ clock });
    return {
      quorum,
      other: quorum,
      clock,
      pass: async (ms) => clock.advance(ms),
      close: async () => {},
    };
  });
});

/** A quorum all of whose nodes vote. */
async function voting(trial: QuorumTrial): Promise<RedlockQuorum> {
  const quorum = await trial.replica();
  await trial.untilAllVote(quorum);
  return quorum;
}

describeWithRedis('the quorum on five Redis nodes', () => {
  leaseQuorumContract(async () => {
    const trial = await QuorumTrial.start();
    return {
      quorum: await voting(trial),
      other: await voting(trial),
      clock: new SystemClock(),
      pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      close: () => trial.close(),
    };
  });
});

describeWithRedis('the quorum on two groups of three Redis nodes', () => {
  leaseQuorumContract(async () => {
    const groups = [await QuorumTrial.start({ nodes: 3 }), await QuorumTrial.start({ nodes: 3 })];
    const [one, other] = groups as [QuorumTrial, QuorumTrial];
    return {
      quorum: new ShardedQuorum([await voting(one), await voting(other)]),
      other: new ShardedQuorum([await voting(other), await voting(one)]),
      clock: new SystemClock(),
      pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      close: async () => {
        await Promise.all(groups.map((group) => group.close()));
      },
    };
  });
});
