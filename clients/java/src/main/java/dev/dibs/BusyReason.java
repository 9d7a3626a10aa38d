package dev.dibs;

/** Why a wait ended without an answer. */
public enum BusyReason {
  /** Another caller still rebuilds. */
  WAIT_ENDED,
  /** The rebuild takes longer, as a rule, than this caller would wait. */
  DEADLINE_TOO_SHORT,
  /** The lock nodes came to no decision. */
  UNDECIDED,
  /** The namespace's budget of rebuilds at a time is used up. */
  BUDGET,
  /** The replica that was asked is stopping. */
  DRAINING,
  /** There is no value, and no rebuild to wait for. */
  NO_VALUE,
  /** A reason that this version does not know. */
  UNSPECIFIED
}
