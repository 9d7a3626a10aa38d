package dev.dibs.conformance;

import com.google.gson.JsonObject;
import dev.dibs.Rebuild;
import dev.dibs.RetryAfter;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** What a scenario says of a rebuild, and does it. */
record RebuildScript(JsonObject script, Gates gates, Runnable tellLost) {
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

  /** Longer than any scenario. */
  private static final long GATE_MS_MAX = 600_000;

  byte[] follow(Rebuild<byte[]> rebuild) throws SourceException, InterruptedException {
    if (script.has("gate")) await(rebuild, gates.of(script.get("gate").getAsString()), GATE_MS_MAX);
    if (script.has("after_ms")) await(rebuild, new CountDownLatch(1), script.get("after_ms").getAsLong());
    if (script.has("fail")) {
      boolean hasRetry = script.has("retry_after_ms");
      Duration retryAfter = hasRetry ? Duration.ofMillis(script.get("retry_after_ms").getAsLong()) : null;
      throw new SourceException(script.get("fail").getAsString(), retryAfter);
    }
    if (script.has("absent")) return null;
    if (script.has("size")) {
      byte[] value = new byte[script.get("size").getAsInt()];
      Arrays.fill(value, (byte) 'x');
      return value;
    }
    return Base64.getDecoder().decode(script.has("value") ? script.get("value").getAsString() : "");
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
