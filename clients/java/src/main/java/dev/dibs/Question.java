package dev.dibs;

/**
 * The subject of one call.
 *
 * @param namespace empty for the service's default
 * @param onUnavailable not null
 * @param body makes the bytes anew
 * @param trace of the first caller
 * @param calledNanos when the caller came, by {@link System#nanoTime()}
 * @param untilNanos when the caller's wait for the rebuilds of others is over, by the same clock
 */
record Question(
    String namespace,
    String key,
    Options<?> options,
    OnUnavailable onUnavailable,
    Run.Body body,
    CallTrace trace,
    long calledNanos,
    long untilNanos) {
  FullKey fullKey() {
    return FullKey.of(namespace, key);
  }

  Question with(Options<?> others) {
    return new Question(namespace, key, others, onUnavailable, body, trace, calledNanos, untilNanos);
  }

  /** The same about another key. */
  Question about(String other) {
    return new Question(namespace, other, options, onUnavailable, body, trace, calledNanos, untilNanos);
  }

  long leftNanos() {
    return untilNanos - System.nanoTime();
  }
}
