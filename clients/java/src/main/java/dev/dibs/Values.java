package dev.dibs;

import com.google.protobuf.ByteString;
import dev.dibs.v1.Hit;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;

/** Converts values between the codec's type and bytes. */
final class Values {
  private Values() {}

  /** Null for null. */
  static <V> ByteString encoded(Options<V> options, V value) {
    if (value == null) return null;
    byte[] bytes = options.codec().encode(value);
    if (bytes == null) throw new NullPointerException("the codec's encode returned null: return bytes");
    return ByteString.copyFrom(bytes);
  }

  /** Null if the source has nothing. */
  static <V> V decoded(Options<V> options, Found found) {
    return found.bytes() == null ? null : options.codec().decode(found.bytes().toByteArray());
  }

  /**
   * Whether the codec can read a value, which it tries on the executor. Also false if that takes longer than the wait;
   * never fails.
   */
  static CompletableFuture<Boolean> isReadable(Options<?> options, Hit hit, Executor executor, Duration wait) {
    if (!hit.hasValue()) return CompletableFuture.completedFuture(true);
    CompletableFuture<Boolean> result;
    try {
      result =
          CompletableFuture.runAsync(() -> options.codec().decode(hit.getValue().toByteArray()), executor)
              .handle((read, error) -> error == null);
    } catch (RejectedExecutionException error) {
      return CompletableFuture.completedFuture(false);
    }
    return result.completeOnTimeout(false, wait.toNanos(), TimeUnit.NANOSECONDS);
  }
}
