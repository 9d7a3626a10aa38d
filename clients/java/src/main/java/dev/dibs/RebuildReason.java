package dev.dibs;

/** Why a rebuild runs. */
public enum RebuildReason {
  /** No value is known. */
  MISS,
  /** The value is past its time. */
  EXPIRED,
  /** The value is fresh and will soon expire; this caller was drawn to rebuild it early. */
  EARLY_REFRESH,
  /** The value was invalidated. */
  INVALIDATED,
  /** The holder before ended without a publish. */
  HOLDER_LOST,
  /** This caller asked for it by {@link Options#refresh()}. */
  REFRESH,
  /** The service could not be reached: this process rebuilds for itself, and the result is not published. */
  LOCAL,
  /** A reason that this version does not know. */
  UNSPECIFIED
}
