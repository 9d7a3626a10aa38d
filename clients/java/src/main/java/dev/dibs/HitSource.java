package dev.dibs;

/** Where a value came from that a call did not rebuild. */
public enum HitSource {
  /** This process's memory. */
  NEAR,
  /** The service. */
  SERVICE
}
