package dev.dibs;

/** Where a value came from, if the call did not rebuild it. */
public enum HitSource {
  /** This process's memory. */
  NEAR,
  /** The service. */
  SERVICE
}
