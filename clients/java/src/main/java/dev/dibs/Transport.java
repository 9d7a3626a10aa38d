package dev.dibs;

import com.google.protobuf.MessageLite;
import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** How calls reach the service. */
interface Transport {
  /** Long enough for a service that fails over, short enough that no caller hangs on it. */
  Duration DEADLINE = Duration.ofSeconds(5);

  /** Hears that a request leaves. */
  interface Sending {
    /** {@code watch} is that of the session, which tells of changes; null where it leaves otherwise. */
    void leaves(Watch watch);
  }

  /**
   * How one call is made.
   *
   * @param deadline how long the caller waits for the reply
   * @param traceparent the W3C traceparent to pass on; empty for none
   * @param left ends the call, which then fails as {@code CANCELLED}
   * @param sending is told just before the request leaves; not at all where it never does
   */
  record Terms(Duration deadline, String traceparent, Signal left, Sending sending) {
    static Terms within(Duration deadline, String traceparent) {
      return new Terms(deadline, traceparent, new Signal(), watch -> {});
    }
  }

  /**
   * One attempt. Fails with a {@link DibsStatusException}, which {@link DibsStatusException#of(Throwable)} unwraps;
   * its {@code retryAfter} is set exactly where the service itself answered and said so.
   */
  <Q extends MessageLite, R> CompletableFuture<R> call(Method<Q, R> method, Q request, Terms terms);

  /**
   * One attempt for several keys. Each answer is told as it comes, on the network's thread; the result ends after the
   * last one, and fails as that of {@link #call} does.
   */
  CompletableFuture<Void> callMany(
      GetOrLockManyRequest request, Terms terms, Consumer<GetOrLockManyResponse> onAnswer);

  /** No more calls; those that were made still end. */
  void close();
}
