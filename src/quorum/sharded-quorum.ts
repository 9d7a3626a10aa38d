import type { Ballot, LeaseQuorum, LockGroup, VoteListener } from '../coordination/ports/lease-quorum.js';
import { hashOf, rankOf } from './key-share.js';

interface Shard {
  readonly quorum: LeaseQuorum;
  readonly seed: number;
}

/**
 * Several quorums as one: each key has its group of lock nodes. The group is computed from the key and from the nodes
 * of each group, so the order of the groups does not matter, and a new group takes keys from each of the others.
 */
export class ShardedQuorum implements LeaseQuorum {
  readonly #shards: readonly Shard[];

  /** Throws a RangeError without a quorum, and for two of the same nodes. */
  constructor(quorums: readonly LeaseQuorum[]) {
    // A quorum has the same group for every id.
    const byName = new Map(quorums.map((quorum) => [quorum.groupOf('').name, quorum]));
    if (quorums.length === 0) throw new RangeError('there is no group of lock nodes');
    if (byName.size < quorums.length) throw new RangeError('two groups have the same lock nodes');
    // If two seeds are equal, the first by name has the key, on every replica.
    const sorted = [...byName].sort(([one], [other]) => (one < other ? -1 : 1));
    this.#shards = sorted.map(([name, quorum]) => ({ quorum, seed: hashOf(name) }));
  }

  groupOf(id: string): LockGroup {
    return this.#quorumOf(id).groupOf(id);
  }

  acquire(id: string, nonce: string, leaseMs: number, heard?: VoteListener): Promise<Ballot> {
    return this.#quorumOf(id).acquire(id, nonce, leaseMs, heard);
  }

  extend(id: string, nonce: string, leaseMs: number): Promise<Ballot> {
    return this.#quorumOf(id).extend(id, nonce, leaseMs);
  }

  release(id: string, nonce: string): Promise<void> {
    return this.#quorumOf(id).release(id, nonce);
  }

  #quorumOf(id: string): LeaseQuorum {
    const keyHash = hashOf(id);
    let best: Shard | undefined;
    let bestRank = -1;
    for (const shard of this.#shards) {
      const rank = rankOf(keyHash, shard.seed);
      if (rank <= bestRank) continue;
      best = shard;
      bestRank = rank;
    }
    // There is at least one.
    return (best as Shard).quorum;
  }
}
