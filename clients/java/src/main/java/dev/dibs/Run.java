package dev.dibs;

import com.google.protobuf.ByteString;
import dev.dibs.v1.Hit;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;

/** One run of a rebuild, on a thread that can be interrupted. */
final class Run {
  /** Makes the bytes anew; null where the source has nothing. */
  interface Making {
    ByteString make(Run run) throws Exception;
  }

  /**
   * What runs.
   *
   * @param writtenAs the class of the user's rebuild
   */
  record Body(Making making, Class<?> writtenAs) {}

  /** It has not begun: no thread was free in time, or the executor takes no more. The source has not failed. */
  static final class NotBegunException extends DibsStatusException {
    private static final long serialVersionUID = 1L;

    NotBegunException(String message, Throwable cause) {
      super(Status.Code.RESOURCE_EXHAUSTED, message, null, cause);
    }
  }

  /** How long a run may stand before its beginning, also where its caller has no wait. */
  private static final long BEGIN_NANOS_MIN = Duration.ofSeconds(2).toNanos();

  private final Body body;
  private final RebuildReason reason;
  private final long fence;
  private final Hit previous;
  private final ValueTerms terms = new ValueTerms();
  private final CompletableFuture<ByteString> result = new CompletableFuture<>();

  /** Null before and after the run. */
  private Thread thread;

  private boolean begun;
  private boolean withdrawn;
  private boolean stopped;
  private volatile boolean lost;

  /** {@code previous} is null where no value is known. */
  Run(Body body, RebuildReason reason, long fence, Hit previous) {
    this.body = body;
    this.reason = reason;
    this.fence = fence;
    this.previous = previous;
  }

  /**
   * Runs on a thread of {@code executor}, which must come within {@code waitNanos}: an executor that is filled by
   * callers that wait for their rebuilds has no thread for the rebuilds, and would wait for itself forever.
   */
  CompletableFuture<ByteString> start(Executor executor, long waitNanos) {
    Duration patience = Duration.ofNanos(Math.max(BEGIN_NANOS_MIN, waitNanos));
    Future<?> timer = Threads.after(patience, () -> withdraw(patience));
    result.whenComplete((value, error) -> timer.cancel(false));
    try {
      executor.execute(this::run);
    } catch (Throwable error) {
      result.completeExceptionally(new NotBegunException("executor: it does not take the rebuild: " + error, error));
    }
    return result;
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

  /** Interrupts it, where it does not stand before its beginning: then it is interrupted from there on. */
  synchronized void stop() {
    stopped = true;
    if (thread != null) thread.interrupt();
  }

  private void withdraw(Duration patience) {
    synchronized (this) {
      if (begun) return;
      withdrawn = true;
    }
    result.completeExceptionally(
        new NotBegunException(
            "executor: none of its threads began the rebuild within %d ms; give the client an executor whose threads do"
                    .formatted(patience.toMillis())
                + " not wait for rebuilds",
            null));
  }

  private void run() {
    if (!enter()) return;
    ByteString value;
    try {
      value = body.making().make(this);
    } catch (Throwable error) {
      leave();
      result.completeExceptionally(new Thrown(error, body.writtenAs()));
      return;
    }
    leave();
    result.complete(value);
  }

  private synchronized boolean enter() {
    if (withdrawn) return false;
    begun = true;
    thread = Thread.currentThread();
    if (stopped) thread.interrupt();
    return true;
  }

  /** The thread goes on to other work, which the interruption is not meant for. */
  private synchronized void leave() {
    thread = null;
    Thread.interrupted();
  }
}
