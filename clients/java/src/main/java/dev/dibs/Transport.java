package dev.dibs;

import com.google.protobuf.MessageLite;
import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** How calls reach the service. */
interface Transport {
  /** Long enough for a service that fails over, short enough that no caller hangs. */
  Duration DEADLINE = Duration.ofSeconds(5);

  /** Is notified that a request leaves. */
  interface Sending {
    /** {@code watch} is that of the session, which reports changes; null if the request leaves otherwise. */
    void leaves(Watch watch);
  }

  /**
   * How one call is made.
   *
   * @param deadline how long the caller waits for the reply
   * @param traceparent the W3C traceparent to pass on; empty for none
   * @param left ends the call, which then fails as {@code CANCELLED}
   * @param sending is called just before the request leaves, and never if it does not
   */
  record Terms(Duration deadline, String traceparent, Signal left, Sending sending) {
    static Terms within(Duration deadline, String traceparent) {
      return new Terms(deadline, traceparent, new Signal(), watch -> {});
    }
  }

  /**
   * One attempt. Fails with a {@link DibsStatusException}, which {@link DibsStatusException#of(Throwable)} unwraps; its
   * {@code retryAfter} is set only if the service itself answered and sent one.
   */
  <Q extends MessageLite, R> CompletableFuture<R> call(Method<Q, R> method, Q request, Terms terms);

  /**
   * One attempt for several keys. Each answer is delivered as it arrives, on the network thread; the result completes
   * after the last one, and fails as that of {@link #call} does.
   */
  CompletableFuture<Void> callMany(
      GetOrLockManyRequest request, Terms terms, Consumer<GetOrLockManyResponse> onAnswer);

  /** The keys grouped by call: each key goes where a call for it alone would go. */
  default List<List<String>> groups(List<String> keys) {
    return List.of(keys);
  }

  /** Accepts no more calls; calls already made still complete. */
  void close();
}
