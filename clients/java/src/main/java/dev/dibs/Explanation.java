package dev.dibs;

import dev.dibs.v1.ExplainResponse;
import dev.dibs.v1.Failed;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * What a replica and the store know about a key: why callers wait, and how recent leases ended. It contains neither the
 * value nor a lease token.
 *
 * @param lease the lease in progress
 * @param waiters how many callers wait on the replica that answers
 * @param value what is cached
 * @param fence the highest of the key so far; 0 if it is not known
 * @param pastLeases the most recent ones, newest first, at most 16
 * @param failed the failure whose back-off is in progress
 * @param degraded which part of the fleet was unavailable
 */
public record Explanation(
    Optional<Lease> lease,
    int waiters,
    Optional<Value> value,
    long fence,
    List<PastLease> pastLeases,
    Optional<Failure> failed,
    Degraded degraded) {
  /**
   * A lease in progress.
   *
   * @param holder who holds it
   * @param fence grows with each lease of the key
   * @param age how long ago it was granted
   * @param expiresIn how long it still lasts, if it is not extended
   * @param reason why it was granted
   * @param traceparent of the rebuild; empty if it is not traced
   */
  public record Lease(
      String holder, long fence, Duration age, Duration expiresIn, RebuildReason reason, String traceparent) {}

  /**
   * A value, without its bytes.
   *
   * @param isAbsent whether the source has nothing
   * @param freshness of the value
   * @param sizeBytes of the value
   * @param age how long ago it was published
   * @param freshFor how long it stays fresh; 0 for a stale one
   * @param staleFor how long it may still be served stale, from now on
   * @param fence of the lease that published it
   * @param tags names to invalidate it by
   */
  public record Value(
      boolean isAbsent,
      Freshness freshness,
      long sizeBytes,
      Duration age,
      Duration freshFor,
      Duration staleFor,
      long fence,
      List<String> tags) {}

  /**
   * A lease that has ended.
   *
   * @param holder who held it
   * @param fence grows with each lease of the key
   * @param held how long it was held
   * @param endedAgo how long ago it ended
   * @param end how it ended
   * @param failureMessage the holder's message, if it failed; else empty
   */
  public record PastLease(
      String holder, long fence, Duration held, Duration endedAgo, LeaseEnd end, String failureMessage) {}

  /**
   * A failed rebuild whose back-off is in progress.
   *
   * @param message the holder's message
   * @param retryAfter the remaining back-off
   */
  public record Failure(String message, Duration retryAfter) {}

  static Explanation of(ExplainResponse response) {
    return new Explanation(
        response.hasLease() ? Optional.of(of(response.getLease())) : Optional.empty(),
        response.getWaiters(),
        response.hasValue() ? Optional.of(of(response.getValue())) : Optional.empty(),
        response.getFence(),
        response.getPastLeasesList().stream().map(Explanation::of).toList(),
        response.hasFailed() ? Optional.of(of(response.getFailed())) : Optional.empty(),
        Words.of(response.getDegraded(), "DEGRADED_", Degraded.UNSPECIFIED));
  }

  private static Lease of(dev.dibs.v1.LeaseInfo lease) {
    return new Lease(
        lease.getHolder(),
        lease.getFence(),
        Duration.ofMillis(lease.getAgeMs()),
        Duration.ofMillis(lease.getExpiresInMs()),
        Words.of(lease.getReason(), "LEASE_REASON_", RebuildReason.UNSPECIFIED),
        lease.getTraceparent());
  }

  private static Value of(dev.dibs.v1.ValueInfo value) {
    return new Value(
        value.getAbsent(),
        Words.of(value.getFreshness(), "FRESHNESS_", Freshness.STALE),
        value.getSizeBytes(),
        Duration.ofMillis(value.getAgeMs()),
        Duration.ofMillis(value.getFreshForMs()),
        Duration.ofMillis(value.getStaleForMs()),
        value.getFence(),
        List.copyOf(value.getTagsList()));
  }

  private static PastLease of(dev.dibs.v1.PastLease past) {
    return new PastLease(
        past.getHolder(),
        past.getFence(),
        Duration.ofMillis(past.getHeldMs()),
        Duration.ofMillis(past.getEndedAgoMs()),
        Words.of(past.getEnd(), "LEASE_END_", LeaseEnd.UNSPECIFIED),
        past.getFailureMessage());
  }

  private static Failure of(Failed failed) {
    return new Failure(failed.getMessage(), Duration.ofMillis(failed.getRetryAfterMs()));
  }
}
