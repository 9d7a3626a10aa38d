package dev.dibs;

import java.time.Duration;

/**
 * Receives events, for your own metrics. Exceptions from hooks are ignored. A hook runs on the thread of the event,
 * possibly the network thread: it must not block or wait for the client. An empty namespace is the service's
 * {@code default}.
 */
public interface Hooks {
  /** Ignores all events. */
  Hooks NONE = new Hooks() {};

  /**
   * A value was found.
   *
   * @param namespace of the key
   * @param key of the value
   * @param freshness of the value
   */
  default void onHit(String namespace, String key, Freshness freshness) {}

  /**
   * A value was found, with its origin. By default this calls the shorter form.
   *
   * @param namespace of the key
   * @param key of the value
   * @param freshness of the value
   * @param source this process's memory, or the service
   */
  default void onHit(String namespace, String key, Freshness freshness, HitSource source) {
    onHit(namespace, key, freshness);
  }

  /**
   * The caller waited for another caller's rebuild.
   *
   * @param namespace of the key
   * @param key that was waited for
   * @param waited how long
   * @param answered whether the wait ended with an answer
   */
  default void onWait(String namespace, String key, Duration waited, boolean answered) {}

  /**
   * A result was published.
   *
   * @param namespace of the key
   * @param key of the result
   * @param outcome usually {@link PublishOutcome#STORED}
   * @param fence under which the key's value is now stored; 0 if there is none
   */
  default void onPublish(String namespace, String key, PublishOutcome outcome, long fence) {}

  /**
   * A result was published, with everything that the service reported. By default this calls the shorter form.
   *
   * @param namespace of the key
   * @param key of the result
   * @param published the outcome
   */
  default void onPublish(String namespace, String key, Published published) {
    onPublish(namespace, key, published.outcome(), published.fence());
  }

  /**
   * The service refuses to store a result, for example because it is too large. Its caller still gets it; the other
   * callers get the message as a failure.
   *
   * @param namespace of the key
   * @param key of the result
   * @param error what the service said
   */
  default void onNotStorable(String namespace, String key, Throwable error) {}

  /**
   * The codec cannot decode a stored value, for example one of an older version of its type. The value is rebuilt once,
   * as if it were missing.
   *
   * @param namespace of the key
   * @param key of the value
   * @param error what the codec threw
   */
  default void onUndecodable(String namespace, String key, Throwable error) {}

  /**
   * The lease of a rebuild was lost while the rebuild was running.
   *
   * @param namespace of the key
   * @param key of the lease
   */
  default void onLeaseLost(String namespace, String key) {}

  /**
   * The service cannot be reached, so this process rebuilds locally.
   *
   * @param namespace of the key
   * @param key that is rebuilt
   * @param cause how the service could not be reached
   */
  default void onLocalRebuild(String namespace, String key, Throwable cause) {}

  /**
   * A result could not be published, or a background rebuild of a stale value failed: no caller gets this as an
   * exception.
   *
   * @param namespace of the key
   * @param key that it was about
   * @param error what went wrong
   */
  default void onBackgroundError(String namespace, String key, Throwable error) {}
}
