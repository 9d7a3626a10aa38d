/** One node's answer to one request. `missing` is everything that is not a vote. */
export type Vote = 'for' | 'held' | 'missing';

export const NODE_STATES = [
  /** No connection, or one that was not checked yet. */
  'connecting',
  /** It may have forgotten leases. It does not vote until the longest of them has ended. */
  'waiting',
  'voting',
  /** Its policy may evict locks. It does not vote. */
  'evicting',
  /** It is the same Redis as another lock node, under another name. Only one of them votes. */
  'duplicate',
  /** A call timed out and it has been silent since. It is not asked until it answers a ping. */
  'suspect',
  /** It answers with errors (OOM, READONLY, NOPERM, …). It is asked for votes if that is all that it refuses. */
  'refusing',
] as const;

export type NodeState = (typeof NODE_STATES)[number];

/** Observes the nodes. Telemetry implements it. It cannot change a decision. */
export interface QuorumObserver {
  /** Once per request to a node: `ms` from request to vote, and `why` the vote is missing. */
  voted(node: string, vote: Vote, ms: number, why?: string): void;
  /** Also from `connecting` or `refusing` to itself, if the reason changed. */
  stateChanged(node: string, from: NodeState, to: NodeState, why: string): void;
  /** This node and the value store are one Redis. */
  sharesStore(node: string): void;
}

/** Ignores all events. */
export const NO_QUORUM_OBSERVER: QuorumObserver = {
  voted() {},
  stateChanged() {},
  sharesStore() {},
};
