package dev.dibs;

import com.google.protobuf.ByteString;
import dev.dibs.v1.Lease;
import io.grpc.Status;
import java.util.concurrent.CompletableFuture;

/** One {@code set}: takes a lease after any rebuild in progress, and publishes the value under it at once. */
final class WriteThrough {
  private final Parts parts;
  private final Question about;
  private final ByteString bytes;
  private final CompletableFuture<Published> result = new CompletableFuture<>();
  private volatile Published published;
  private volatile boolean publishing;

  /** {@code bytes} is null if the source has no value. */
  WriteThrough(Parts parts, Question about, ByteString bytes) {
    this.parts = parts;
    this.about = about.with(about.options().refresh());
    this.bytes = bytes;
  }

  /** Completing the result early ends the call for this caller, as long as it is waiting. */
  CompletableFuture<Published> start() {
    CompletableFuture<Found> seat =
        parts
            .flights()
            .alone(
                about.fullKey(),
                flight ->
                    new FetchLoop(parts, about, flight, How.writing(lease -> under(lease, flight.audience()))).start());
    seat.whenComplete((found, error) -> {
      // An outcome of a later version of the service must not look like a stored value.
      if (error != null || published != null) Futures.settle(result, published, error);
      else Futures.settle(result, null, noLease());
    });
    result.whenComplete((done, error) -> {
      seat.cancel(false);
      // For a caller that leaves too: the publish goes on, and may have been applied. Without a lease, its caller has
      // changed the source, and reads again.
      if (publishing || error != null) changed();
    });
    return result;
  }

  private CompletableFuture<Void> under(Lease lease, Audience audience) {
    if (audience.left().isRaised()) {
      Unused.giveBack(parts, about, lease);
      return CompletableFuture.failedFuture(DibsStatusException.cancelled("the caller has gone"));
    }
    publishing = true;
    return new Publication(parts, about, lease.getToken(), about.trace().noRebuild())
        .untilAnswered(bytes)
        .handle(
            (done, error) -> {
              changed();
              if (error == null) {
                published = done;
                return null;
              }
              Unused.giveBack(parts, about, lease);
              throw DibsStatusException.of(error);
            });
  }

  private static DibsStatusException noLease() {
    return new DibsStatusException(Status.Code.INTERNAL, "the answer to a refresh is not a lease");
  }

  /** A caller that comes after this gets nothing older. Also on failure, because the value may be stored. */
  private void changed() {
    parts.changes().set(about.namespace(), about.key());
  }
}
