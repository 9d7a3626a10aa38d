package dev.dibs;

/** Why a rebuild runs. */
public enum RebuildReason {
  /** There is no value. */
  MISS,
  /** The value is past its ttl. */
  EXPIRED,
  /** The value is fresh but will expire soon; this caller was chosen at random to rebuild it early. */
  EARLY_REFRESH,
  /** The value was invalidated. */
  INVALIDATED,
  /** The previous holder ended without a publish. */
  HOLDER_LOST,
  /** This caller asked for it by {@link Options#refresh()}. */
  REFRESH,
  /** The service cannot be reached: this process rebuilds locally, and the result is not published. */
  LOCAL,
  /** A reason that this version does not know. */
  UNSPECIFIED
}
