package dev.dibs;

/** Which part of the fleet was out of reach when an answer was made. */
public enum Degraded {
  /** Quorum and store are there. */
  NONE,
  /** Fewer than a majority of the lock nodes answer. The store alone decides who rebuilds. */
  QUORUM_LOST,
  /** The store does not answer. Leases hold fleet-wide, values stay in one replica. */
  STORE_LOST,
  /** Neither answers. Each replica runs one rebuild of a key at a time. */
  LOCAL,
  /** Something that this version does not know. */
  UNSPECIFIED
}
