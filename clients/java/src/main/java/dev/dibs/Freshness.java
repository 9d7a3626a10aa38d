package dev.dibs;

/** Where in its life a value is. */
public enum Freshness {
  /** Within its time. */
  FRESH,
  /** Past its time or marked stale, and still served. */
  STALE
}
