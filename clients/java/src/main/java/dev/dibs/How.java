package dev.dibs;

import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Intent;
import dev.dibs.v1.Lease;
import dev.dibs.v1.Read;
import dev.dibs.v1.Stale;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/**
 * How one call proceeds.
 *
 * @param requestId the same for every attempt: a lease whose answer was lost on its way comes again. After a lease that
 *     is over, it is another one
 * @param isRead it gets no lease
 * @param isAnew it asks again because the codec could not read what it found, which another process may replace first
 * @param first its first answer, which was asked for together with those of other keys; null if it asks by itself
 * @param onLease what is done with a lease in place of a rebuild; null for the rebuild
 */
record How(
    String requestId,
    boolean isRead,
    boolean isAnew,
    CompletableFuture<GetOrLockResponse> first,
    OnLease onLease) {
  /** Completes when the lease is no longer used. */
  interface OnLease {
    CompletableFuture<Void> under(Lease lease);
  }

  /** Asks, and rebuilds under a lease. */
  static How rebuilding() {
    return new How(UUID.randomUUID().toString(), false, false, null, null);
  }

  /** The same, after a value that the codec could not read. */
  static How replacing() {
    return new How(UUID.randomUUID().toString(), false, true, null, null);
  }

  static How reading() {
    return new How(UUID.randomUUID().toString(), true, false, null, null);
  }

  static How writing(OnLease onLease) {
    return new How(UUID.randomUUID().toString(), false, false, null, onLease);
  }

  static How withFirst(String requestId, CompletableFuture<GetOrLockResponse> first) {
    return new How(requestId, false, false, first, null);
  }

  /** {@code wait} is null if the service decides. */
  GetOrLockRequest request(Question about, String holder, String id, Duration wait) {
    Options<?> options = about.options();
    GetOrLockRequest.Builder request =
        GetOrLockRequest.newBuilder()
            .setNamespace(about.namespace())
            .setKey(about.key())
            .setRequestId(id)
            .setHolder(holder)
            .setIntent(intent(options));
    if (wait != null) request.setWaitMs(Bounds.ms(wait));
    if (options.lease() != null) request.setLeaseMs(Bounds.ms(options.lease()));
    if (options.stale() != null) request.setStale(Stale.valueOf("STALE_" + options.stale()));
    if (options.read() != null) request.setRead(Read.valueOf("READ_" + options.read()));
    return request.build();
  }

  private Intent intent(Options<?> options) {
    if (isRead) return Intent.INTENT_READ;
    return options.isRefresh() ? Intent.INTENT_REFRESH : Intent.INTENT_REBUILD;
  }
}
