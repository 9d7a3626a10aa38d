package dev.dibs;

import com.google.protobuf.ByteString;
import dev.dibs.v1.Hit;
import io.grpc.Status;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/** One run of the rebuild of one key: its inputs, and its settings for the value. */
final class Run {
  /** How the bytes are computed: on a separate thread, or together with other keys. */
  interface Body {
    /**
     * Completes with the bytes, or null if the source has no value; fails with {@link Thrown}, or with
     * {@link NotBegunException} if no thread was available within about {@code waitNanos}.
     */
    CompletableFuture<ByteString> start(Run run, Executor executor, long waitNanos);

    /** The class of the user's rebuild, which stands for the place in the code where it is written. */
    Class<?> writtenAs();
  }

  /**
   * The rebuild has not begun: no thread was free in time, or the executor rejects tasks. The source has not failed.
   */
  static final class NotBegunException extends DibsStatusException {
    private static final long serialVersionUID = 1L;

    NotBegunException(String message, Throwable cause) {
      super(Status.Code.RESOURCE_EXHAUSTED, message, null, cause);
    }
  }

  private final Body body;
  private final RebuildReason reason;
  private final long fence;
  private final Hit previous;
  private final ValueTerms terms = new ValueTerms();
  private final Signal stopped = new Signal();
  private volatile boolean lost;

  /** {@code previous} is null if no value is known. */
  Run(Body body, RebuildReason reason, long fence, Hit previous) {
    this.body = body;
    this.reason = reason;
    this.fence = fence;
    this.previous = previous;
  }

  CompletableFuture<ByteString> start(Executor executor, long waitNanos) {
    return body.start(this, executor, waitNanos);
  }

  RebuildReason reason() {
    return reason;
  }

  long fence() {
    return fence;
  }

  Hit previous() {
    return previous;
  }

  ValueTerms terms() {
    return terms;
  }

  boolean isLost() {
    return lost;
  }

  void lose() {
    lost = true;
    stop();
  }

  void stop() {
    stopped.raise();
  }

  /** Raised when nothing waits for the run any more. */
  Signal stopped() {
    return stopped;
  }
}
