package dev.dibs;

import dev.dibs.v1.GetOrLockResponse;
import dev.dibs.v1.Lease;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/**
 * How one call proceeds.
 *
 * @param requestId the same for every attempt: a lease whose answer was lost on its way comes again. After a lease that
 *     is over, it is another one
 * @param isRead it gets no lease
 * @param first its first answer, which was asked for together with those of other keys; null if it asks by itself
 * @param onLease what is done with a lease in place of a rebuild; null for the rebuild
 */
record How(String requestId, boolean isRead, CompletableFuture<GetOrLockResponse> first, OnLease onLease) {
  /** Completes when the lease is no longer used. */
  interface OnLease {
    CompletableFuture<Void> under(Lease lease);
  }

  /** Asks, and rebuilds under a lease. */
  static How rebuilding() {
    return new How(UUID.randomUUID().toString(), false, null, null);
  }

  static How reading() {
    return new How(UUID.randomUUID().toString(), true, null, null);
  }

  static How writing(OnLease onLease) {
    return new How(UUID.randomUUID().toString(), false, null, onLease);
  }

  static How withFirst(String requestId, CompletableFuture<GetOrLockResponse> first) {
    return new How(requestId, false, first, null);
  }
}
