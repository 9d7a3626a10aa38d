import { describe } from 'vitest';
import { MemoryLeaseQuorum } from '../../src/memory/lease-quorum.js';
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

describeWithRedis('the quorum on five Redis nodes', () => {
  leaseQuorumContract(async () => {
    // A machine under load may stall for longer than the default, which this suite does not test.
    const trial = await QuorumTrial.start({ timeoutMs: 1_000 });
    return {
      quorum: await trial.replica(),
      other: await trial.replica(),
      clock: new SystemClock(),
      pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      close: () => trial.close(),
    };
  });
});

describeWithRedis('the quorum on two groups of three Redis nodes', () => {
  leaseQuorumContract(async () => {
    const options = { timeoutMs: 1_000, nodes: 3 } as const;
    const groups = [await QuorumTrial.start(options), await QuorumTrial.start(options)];
    const [one, other] = groups as [QuorumTrial, QuorumTrial];
    return {
      quorum: new ShardedQuorum([await one.replica(), await other.replica()]),
      other: new ShardedQuorum([await other.replica(), await one.replica()]),
      clock: new SystemClock(),
      pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      close: async () => {
        await Promise.all(groups.map((group) => group.close()));
      },
    };
  });
});
