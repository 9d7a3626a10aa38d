package dev.dibs;

import java.util.Optional;

/**
 * The result of a publish.
 *
 * @param outcome usually {@link PublishOutcome#STORED}
 * @param fence under which the key's value is now stored; 0 if there is none
 * @param counts whether no invalidation has arrived since the lease; empty if the service does not know
 * @param maybeStored with {@link PublishOutcome#NOT_STORED}: the value may still be stored, and read later
 */
public record Published(PublishOutcome outcome, long fence, Optional<Boolean> counts, boolean maybeStored) {
  /**
   * Whether the value is stored. If not, an invalidation or a newer value came first, or there is no store.
   *
   * @return true for {@code STORED}, {@code STORED_LATE} and {@code DUPLICATE}
   */
  public boolean isStored() {
    return switch (outcome) {
      case STORED, STORED_LATE, DUPLICATE -> true;
      default -> false;
    };
  }

  /** Whether the value may also go to callers that asked after the lease was granted. */
  boolean isStoredAndCounts() {
    return isStored() && counts.orElse(false);
  }

  /** Whether the lease was over before the publish: another caller may have the value by now. */
  boolean isVoid() {
    return switch (outcome) {
      case SUPERSEDED, INVALIDATED, UNKNOWN_LEASE -> true;
      default -> false;
    };
  }
}
