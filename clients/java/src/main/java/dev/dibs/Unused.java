package dev.dibs;

import dev.dibs.v1.Lease;
import dev.dibs.v1.ReleaseRequest;
import java.util.concurrent.CompletableFuture;

/** Leases that nothing is published under. */
final class Unused {
  private Unused() {}

  /** Others need not wait until the lease expires. No caller waits for this. */
  static void giveBack(Parts parts, Question about, Lease lease) {
    ReleaseRequest request =
        ReleaseRequest.newBuilder()
            .setNamespace(about.namespace())
            .setKey(about.key())
            .setToken(lease.getToken())
            .build();
    CompletableFuture<Void> behind = parts.background().begin();
    parts
        .transport()
        .call(Method.RELEASE, request, Transport.Terms.within(Transport.DEADLINE, about.trace().traceparent()))
        .whenComplete(
            (response, failed) -> {
              if (failed != null) {
                Throwable error = Futures.cause(failed);
                parts.hooks().tell(hooks -> hooks.onBackgroundError(about.namespace(), about.key(), error));
              }
              behind.complete(null);
            });
  }
}
