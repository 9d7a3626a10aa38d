import type { Clock } from '../coordination/ports/clock.js';
import type { Vote } from '../quorum/quorum-observer.js';
import { RecentDurations } from './durations.js';
import { RecentCounts } from './recent-counts.js';

/** The recent votes of one lock node. */
class NodeVotes {
  readonly counts: RecentCounts<Vote>;
  readonly took: RecentDurations;
  last: { readonly vote: Vote; readonly why: string; readonly atMs: number } | undefined;
  state: { readonly why: string; readonly atMs: number } | undefined;

  constructor(seconds: number, parts: number) {
    this.counts = new RecentCounts(['for', 'held', 'missing'], seconds);
    this.took = new RecentDurations(parts);
  }
}

/** The recent votes of all configured lock nodes. */
export class RecentVotes {
  readonly #nodes = new Map<string, NodeVotes>();

  constructor(
    private readonly parts: {
      readonly clock: Clock;
      readonly seconds: number;
      readonly durationParts: number;
    },
  ) {}

  voted(node: string, vote: Vote, tookMs: number, why = ''): void {
    const votes = this.#of(node);
    votes.counts.add(vote);
    votes.last = { vote, why, atMs: this.parts.clock.nowMs() };
    // A missing vote took its whole timeout, or no time. Neither shows the node's speed.
    if (vote !== 'missing') votes.took.add(tookMs);
  }

  stateChanged(node: string, why: string): void {
    this.#of(node).state = { why, atMs: this.parts.clock.nowMs() };
  }

  endSecond(): void {
    for (const { counts } of this.#nodes.values()) counts.endSecond();
  }

  endPart(): void {
    for (const { took } of this.#nodes.values()) took.endPart();
  }

  /** Each node with its figures, in the order of `states`. */
  shown(states: Iterable<readonly [node: string, state: string]>) {
    const { clock, seconds } = this.parts;
    const nowMs = clock.nowMs();
    return [...states].map(([node, state]) => {
      const { counts, took, last, state: since } = this.#of(node);
      const sum = took.sum();
      return {
        node,
        state,
        why: since?.why ?? '',
        stateForMs: since && nowMs - since.atMs,
        lastVote: last && { vote: last.vote, why: last.why, agoMs: nowMs - last.atMs },
        votes: {
          for: counts.over('for', seconds),
          held: counts.over('held', seconds),
          missing: counts.over('missing', seconds),
        },
        p50Ms: sum.percentileMs(0.5),
        p99Ms: sum.percentileMs(0.99),
      };
    });
  }

  #of(node: string): NodeVotes {
    const known = this.#nodes.get(node);
    if (known !== undefined) return known;
    const votes = new NodeVotes(this.parts.seconds, this.parts.durationParts);
    this.#nodes.set(node, votes);
    return votes;
  }
}
