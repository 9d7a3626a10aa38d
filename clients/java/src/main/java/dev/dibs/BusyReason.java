package dev.dibs;

/** Why a wait ended without an answer. */
public enum BusyReason {
  /** Another caller is still rebuilding. */
  WAIT_ENDED,
  /** The rebuild usually takes longer than this caller would wait. */
  DEADLINE_TOO_SHORT,
  /** The lock nodes did not reach a decision. */
  UNDECIDED,
  /** The namespace's limit of concurrent rebuilds is reached. */
  BUDGET,
  /** The replica is stopping. */
  DRAINING,
  /** There is no value, and no rebuild to wait for. */
  NO_VALUE,
  /** A reason that this version does not know. */
  UNSPECIFIED
}
