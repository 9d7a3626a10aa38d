package dev.dibs.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.dibs.Rebuild;
import dev.dibs.RebuildMany;
import dev.dibs.RetryAfter;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** Carries out the rebuild that a scenario describes. */
record RebuildScript(JsonObject script, Gates gates, Runnable tellLost, Asked asked) {
  /** Calls the client from within the rebuild. */
  interface Asked {
    byte[] ask(JsonObject fields) throws Exception;
  }

  /** The exception of a scenario's source. */
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

  /** An exception whose text cannot be read. */
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

  /** An error that a rebuild should never throw. */
  static final class SourceError extends Error {
    private static final long serialVersionUID = 1L;

    SourceError(String message) {
      super(message);
    }
  }

  /** Longer than any scenario. */
  private static final long GATE_MS_MAX = 600_000;

  byte[] follow(Rebuild<byte[]> rebuild) throws Exception {
    byte[] theirs = begin(rebuild::isLost);
    say(rebuild, script);
    if (script.has("absent")) return null;
    if (script.has("size")) {
      byte[] value = new byte[script.get("size").getAsInt()];
      Arrays.fill(value, (byte) 'x');
      return value;
    }
    if (theirs != null && !script.has("value")) return theirs;
    return bytes(script.has("value") ? script.get("value").getAsString() : "");
  }

  /** For several keys at once: the values from the script. */
  Map<String, byte[]> follow(List<String> keys, RebuildMany<byte[]> rebuild) throws Exception {
    begin(() -> false);
    Map<String, byte[]> made = new HashMap<>();
    JsonObject values = script.has("values") ? script.getAsJsonObject("values") : new JsonObject();
    for (String key : keys) {
      if (script.has("of") && script.getAsJsonObject("of").has(key)) {
        say(rebuild.of(key), script.getAsJsonObject("of").getAsJsonObject(key));
      }
      JsonElement value = values.has(key) ? values.get(key) : script.get("each");
      if (value != null && !value.isJsonNull()) made.put(key, bytes(value.getAsString()));
    }
    return made;
  }

  private static byte[] bytes(String base64) {
    return Base64.getDecoder().decode(base64);
  }

  /** Waits, asks and throws as the script says, before there is a value. */
  private byte[] begin(BooleanSupplier isLost) throws Exception {
    if (script.has("gate")) await(isLost, gates.of(script.get("gate").getAsString()), GATE_MS_MAX);
    if (script.has("after_ms")) await(isLost, new CountDownLatch(1), script.get("after_ms").getAsLong());
    byte[] theirs = script.has("asks") ? ask(script.getAsJsonObject("asks")) : null;
    if (script.has("fail")) {
      Duration retryAfter = script.has("retry_after_ms") ? Fields.time(script, "retry_after_ms") : null;
      throw new SourceException(script.get("fail").getAsString(), retryAfter);
    }
    if (script.has("throws_badly")) throw new BadException();
    if (script.has("panics")) throw new SourceError(script.get("panics").getAsString());
    return theirs;
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

  private static void say(Rebuild<byte[]> rebuild, JsonObject terms) {
    if (terms.has("ttl_ms")) rebuild.ttl(Fields.time(terms, "ttl_ms"));
    if (terms.has("stale_ms")) rebuild.staleTtl(Fields.time(terms, "stale_ms"));
    if (terms.has("tags")) rebuild.tags(Fields.texts(terms, "tags"));
    if (Fields.is(terms, "do_not_store")) rebuild.doNotStore();
  }

  private void await(BooleanSupplier isLost, CountDownLatch gate, long ms) throws InterruptedException {
    boolean ignoresLoss = script.has("ignore_loss") && script.get("ignore_loss").getAsBoolean();
    long untilNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(ms);
    for (; ; ) {
      try {
        gate.await(untilNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
        return;
      } catch (InterruptedException error) {
        if (isLost.getAsBoolean()) tellLost.run();
        if (!ignoresLoss) throw error;
      }
    }
  }
}
