package dev.dibs;

import java.util.Optional;

/**
 * What became of a result that was handed over.
 *
 * @param outcome {@link PublishOutcome#STORED} is the rule
 * @param fence under which the key's value is now stored; 0 if there is none
 * @param counts whether no invalidation has arrived since the lease; empty where the service does not know
 * @param maybeStored with {@link PublishOutcome#NOT_STORED}: the value may still be stored, and read later
 */
public record Published(PublishOutcome outcome, long fence, Optional<Boolean> counts, boolean maybeStored) {
  /** Whether callers that asked after the lease was given may have it too. */
  boolean isStoredAndCounts() {
    boolean isStored =
        switch (outcome) {
          case STORED, STORED_LATE, DUPLICATE -> true;
          default -> false;
        };
    return isStored && counts.orElse(false);
  }

  /** Whether the lease was over before the publish: another caller may have the value by now. */
  boolean isVoid() {
    return switch (outcome) {
      case SUPERSEDED, INVALIDATED, UNKNOWN_LEASE -> true;
      default -> false;
    };
  }
}
