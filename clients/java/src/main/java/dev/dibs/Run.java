package dev.dibs;

import com.google.protobuf.ByteString;
import dev.dibs.v1.Hit;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/** One run of a rebuild, on a thread that can be interrupted. */
final class Run {
  /** Makes the bytes anew; null where the source has nothing. */
  interface Body {
    ByteString make(Run run) throws Exception;
  }

  private final Body body;
  private final RebuildReason reason;
  private final long fence;
  private final Hit previous;
  private final CompletableFuture<ByteString> result = new CompletableFuture<>();

  /** Null before and after the run. */
  private Thread thread;

  private boolean stopped;
  private volatile boolean lost;

  /** {@code previous} is null where no value is known. */
  Run(Body body, RebuildReason reason, long fence, Hit previous) {
    this.body = body;
    this.reason = reason;
    this.fence = fence;
    this.previous = previous;
  }

  CompletableFuture<ByteString> start(Executor executor) {
    try {
      executor.execute(this::run);
    } catch (Throwable error) {
      // It takes no more, or there is no memory for a thread.
      result.completeExceptionally(error);
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

  private void run() {
    enter();
    ByteString value;
    try {
      value = body.make(this);
    } catch (Throwable error) {
      leave();
      result.completeExceptionally(error);
      return;
    }
    leave();
    result.complete(value);
  }

  private synchronized void enter() {
    thread = Thread.currentThread();
    if (stopped) thread.interrupt();
  }

  /** The thread goes on to other work, which the interruption is not meant for. */
  private synchronized void leave() {
    thread = null;
    Thread.interrupted();
  }
}
