package dev.dibs.conformance;

import com.google.gson.JsonObject;
import dev.dibs.Rebuild;
import dev.dibs.RetryAfter;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** What a scenario says of a rebuild, and does it. */
record RebuildScript(JsonObject script, Gates gates, Runnable tellLost, Asked asked) {
  /** Calls the client from within the rebuild. */
  interface Asked {
    byte[] ask(JsonObject fields) throws Exception;
  }

  /** What the source of a scenario throws. */
  static final class SourceException extends Exception implements RetryAfter {
    private static final long serialVersionUID = 1L;

    private final Duration retryAfter;

    SourceException(String message, Duration retryAfter) {
      super(message);
      this.retryAfter = retryAfter;
    }

    @Override
    public Duration retryAfter() {
      return retryAfter;
    }
  }

  /** One that says nothing of itself. */
  static final class BadException extends Exception {
    private static final long serialVersionUID = 1L;

    @Override
    public String getMessage() {
      throw new IllegalStateException("this cannot be read");
    }

    @Override
    public String toString() {
      throw new IllegalStateException("nor this");
    }
  }

  /** What a rebuild should never throw. */
  static final class SourceError extends Error {
    private static final long serialVersionUID = 1L;

    SourceError(String message) {
      super(message);
    }
  }

  /** Longer than any scenario. */
  private static final long GATE_MS_MAX = 600_000;

  byte[] follow(Rebuild<byte[]> rebuild) throws Exception {
    if (script.has("gate")) await(rebuild, gates.of(script.get("gate").getAsString()), GATE_MS_MAX);
    if (script.has("after_ms")) await(rebuild, new CountDownLatch(1), script.get("after_ms").getAsLong());
    byte[] theirs = script.has("asks") ? ask(script.getAsJsonObject("asks")) : null;
    if (script.has("fail")) {
      Duration retryAfter = script.has("retry_after_ms") ? Fields.time(script, "retry_after_ms") : null;
      throw new SourceException(script.get("fail").getAsString(), retryAfter);
    }
    if (script.has("throws_badly")) throw new BadException();
    if (script.has("panics")) throw new SourceError(script.get("panics").getAsString());
    say(rebuild);
    if (script.has("absent")) return null;
    if (script.has("size")) {
      byte[] value = new byte[script.get("size").getAsInt()];
      Arrays.fill(value, (byte) 'x');
      return value;
    }
    if (theirs != null && !script.has("value")) return theirs;
    return Base64.getDecoder().decode(script.has("value") ? script.get("value").getAsString() : "");
  }

  private byte[] ask(JsonObject asks) throws Exception {
    if (!Fields.is(asks, "detached")) return asked.ask(asks);
    CompletableFuture<byte[]> answer = new CompletableFuture<>();
    new Thread(
            () -> {
              try {
                answer.complete(asked.ask(asks));
              } catch (Throwable error) {
                answer.completeExceptionally(error);
              }
            })
        .start();
    try {
      return answer.get();
    } catch (ExecutionException error) {
      if (error.getCause() instanceof Exception cause) throw cause;
      throw error;
    }
  }

  private void say(Rebuild<byte[]> rebuild) {
    if (script.has("ttl_ms")) rebuild.ttl(Fields.time(script, "ttl_ms"));
    if (script.has("stale_ms")) rebuild.staleTtl(Fields.time(script, "stale_ms"));
    if (script.has("tags")) rebuild.tags(Fields.texts(script, "tags"));
    if (Fields.is(script, "do_not_store")) rebuild.doNotStore();
  }

  private void await(Rebuild<?> rebuild, CountDownLatch gate, long ms) throws InterruptedException {
    boolean ignoresLoss = script.has("ignore_loss") && script.get("ignore_loss").getAsBoolean();
    long untilNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(ms);
    for (; ; ) {
      try {
        gate.await(untilNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
        return;
      } catch (InterruptedException error) {
        if (rebuild.isLost()) tellLost.run();
        if (!ignoresLoss) throw error;
      }
    }
  }
}
