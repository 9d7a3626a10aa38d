package dev.dibs;

import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;

/**
 * The contract's bounds, checked before anything is sent: a call that the service refuses only at the publish has
 * wasted its rebuild. The messages are the same as the service's.
 */
final class Bounds {
  private static final long YEAR_MS = 31_536_000_000L;
  private static final int TAGS_MAX = 16;
  private static final int TAG_BYTES_MAX = 256;

  /**
   * Far longer than a traceparent is. A message that is too long for a session would end it, with all its calls and
   * leases.
   */
  static final int TRACEPARENT_BYTES_MAX = 1_024;

  private Bounds() {}

  static void options(Options<?> options) {
    ttl(options.ttl());
    within("absent_ttl_ms", options.absentTtl(), 1);
    if (options.staleTtl() != null) staleTtl(options.staleTtl());
    if (options.maxWait() != null) within("wait_ms", options.maxWait(), 0);
    // The service's own bounds are narrower, and configurable.
    if (options.lease() != null) within("lease_ms", options.lease(), 1);
    if (options.leaseHoldMax() != null) leaseHoldMax(options.leaseHoldMax());
    if (options.namespace() != null) text("namespace", options.namespace());
    traceparent(options.traceparent());
    tags(options.tags());
  }

  private static void traceparent(String header) {
    text("traceparent", header);
    int bytes = header.getBytes(StandardCharsets.UTF_8).length;
    if (bytes > TRACEPARENT_BYTES_MAX) {
      throw invalid("traceparent: %d bytes is outside 0 to %d".formatted(bytes, TRACEPARENT_BYTES_MAX));
    }
  }

  static void ttl(Duration duration) {
    within("ttl_ms", duration, 1);
  }

  static void staleTtl(Duration duration) {
    within("stale_ms", duration, 0);
  }

  static void leaseHoldMax(Duration duration) {
    within("lease_hold_max_ms", duration, 1);
  }

  static void connectTimeout(Duration duration) {
    within("connect_timeout_ms", duration, 1);
  }

  static void tags(List<String> names) {
    if (names.size() > TAGS_MAX) throw invalid("tags: %d are more than %d".formatted(names.size(), TAGS_MAX));
    names.forEach(name -> {
      text("tags", name);
      int bytes = name.getBytes(StandardCharsets.UTF_8).length;
      if (bytes < 1 || bytes > TAG_BYTES_MAX) {
        throw invalid("tags: one of %d bytes is outside 1 to %d".formatted(bytes, TAG_BYTES_MAX));
      }
    });
  }

  /** When encoded, an unpaired surrogate becomes a question mark: two broken strings must never become one. */
  static void text(String field, String text) {
    if (!isSound(text)) throw invalid(field + ": contains an unpaired surrogate");
  }

  /** Whether the string can be encoded as UTF-8: it has no unpaired surrogate. */
  static boolean isSound(String text) {
    return text.chars().noneMatch(unit -> Character.isSurrogate((char) unit))
        || StandardCharsets.UTF_8.newEncoder().canEncode(text);
  }

  /** Whole milliseconds, as sent. Less than one is rounded up to one: zero would mean something else. */
  static long ms(Duration duration) {
    long ms = duration.toMillis();
    return ms == 0 && !duration.isZero() ? 1 : ms;
  }

  private static void within(String field, Duration duration, long msMin) {
    long ms;
    try {
      ms = ms(duration);
    } catch (ArithmeticException error) {
      // More milliseconds than a long can hold.
      throw outside(field, duration.toString(), msMin);
    }
    if (ms < msMin || ms > YEAR_MS || duration.isNegative()) throw outside(field, String.valueOf(ms), msMin);
  }

  private static DibsStatusException outside(String field, String what, long msMin) {
    return invalid("%s: %s is outside %d to %d".formatted(field, what, msMin, YEAR_MS));
  }

  private static DibsStatusException invalid(String message) {
    return new DibsStatusException(Status.Code.INVALID_ARGUMENT, message);
  }
}
