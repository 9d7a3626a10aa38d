package dev.dibs;

/**
 * The subject of one call.
 *
 * @param namespace empty for the service's default
 * @param onUnavailable not null
 * @param body makes the bytes anew
 * @param trace of the first caller
 * @param untilNanos when the caller's wait for the rebuilds of others is over, by {@link System#nanoTime()}
 */
record Question(
    String namespace,
    String key,
    Options<?> options,
    OnUnavailable onUnavailable,
    Run.Body body,
    CallTrace trace,
    long untilNanos) {
  FullKey fullKey() {
    return FullKey.of(namespace, key);
  }

  Question with(Options<?> others) {
    return new Question(namespace, key, others, onUnavailable, body, trace, untilNanos);
  }

  /** The same about another key. */
  Question about(String other) {
    return new Question(namespace, other, options, onUnavailable, body, trace, untilNanos);
  }

  long leftNanos() {
    return untilNanos - System.nanoTime();
  }
}
