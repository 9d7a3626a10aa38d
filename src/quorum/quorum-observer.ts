/** What one node said to one question; `missing` is everything that is not a vote. */
export type Vote = 'for' | 'held' | 'missing';

export const NODE_STATES = [
  /** No connection, or one that has not yet been looked at. */
  'connecting',
  /** It may have forgotten leases, and does not vote until the longest of them has ended. */
  'waiting',
  'voting',
  /** Its policy lets it drop locks when memory is full: it does not vote. */
  'evicting',
  /** It let a call time out and has said nothing since: it is not asked until it answers a ping. */
  'suspect',
] as const;

export type NodeState = (typeof NODE_STATES)[number];

/** Hears what the nodes do; telemetry implements it. Nothing that it does can change a decision. */
export interface QuorumObserver {
  /** Once for each question to each node; `ms` from the question to the vote, `why` it is missing. */
  voted(node: string, vote: Vote, ms: number, why?: string): void;
  /** Also from `connecting` to itself, when the reason is another one. */
  stateChanged(node: string, from: NodeState, to: NodeState, why: string): void;
}

/** For whoever does not listen. */
export const NO_QUORUM_OBSERVER: QuorumObserver = {
  voted() {},
  stateChanged() {},
};
