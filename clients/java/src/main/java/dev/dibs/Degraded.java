package dev.dibs;

/** Which part of the fleet was unavailable when an answer was made. */
public enum Degraded {
  /** Quorum and store are available. */
  NONE,
  /** Fewer than a majority of the lock nodes answer. The store alone decides who rebuilds. */
  QUORUM_LOST,
  /** The store does not answer. Leases hold in the whole fleet, values stay within one replica. */
  STORE_LOST,
  /** Neither answers. Each replica runs one rebuild of a key at a time. */
  LOCAL,
  /** A value that this version does not know. */
  UNSPECIFIED
}
