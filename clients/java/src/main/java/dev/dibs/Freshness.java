package dev.dibs;

/** Whether a value is within its ttl. */
public enum Freshness {
  /** Within its ttl. */
  FRESH,
  /** Past its ttl or marked stale, and still served. */
  STALE
}
