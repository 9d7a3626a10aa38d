package dev.dibs;

import java.time.Duration;

/**
 * Hears what happens, for a user's own metrics. What a hook throws is ignored. A hook is called on the
 * thread where the thing happened, which may be the network's: it must not block, nor wait for the client. An empty namespace is the
 * service's {@code default}.
 */
public interface Hooks {
  /** Hears nothing. */
  Hooks NONE = new Hooks() {};

  /**
   * A value was there.
   *
   * @param namespace of the key
   * @param key of the value
   * @param freshness of the value
   */
  default void onHit(String namespace, String key, Freshness freshness) {}

  /**
   * A value was there, with where it came from. By itself it calls the shorter form.
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
   * @param answered whether with an answer in the end
   */
  default void onWait(String namespace, String key, Duration waited, boolean answered) {}

  /**
   * A result was handed over.
   *
   * @param namespace of the key
   * @param key of the result
   * @param outcome {@link PublishOutcome#STORED} is the rule
   * @param fence under which the key's value is now stored; 0 if there is none
   */
  default void onPublish(String namespace, String key, PublishOutcome outcome, long fence) {}

  /**
   * A result was handed over, with all that the service says of it. By itself it calls the shorter form.
   *
   * @param namespace of the key
   * @param key of the result
   * @param published what became of it
   */
  default void onPublish(String namespace, String key, Published published) {
    onPublish(namespace, key, published.outcome(), published.fence());
  }

  /**
   * The service refuses to store a result, such as one beyond its bound. Its caller still gets it, and the other
   * callers are told the message as a failure.
   *
   * @param namespace of the key
   * @param key of the result
   * @param error what the service said
   */
  default void onNotStorable(String namespace, String key, Throwable error) {}

  /**
   * The codec cannot read a value that is stored, such as one of an older version of its type. It is rebuilt once, as
   * if it were missing.
   *
   * @param namespace of the key
   * @param key of the value
   * @param error what the codec threw
   */
  default void onUndecodable(String namespace, String key, Throwable error) {}

  /**
   * The lease of a rebuild was lost while it ran.
   *
   * @param namespace of the key
   * @param key of the lease
   */
  default void onLeaseLost(String namespace, String key) {}

  /**
   * The service could not be reached, so that this process rebuilds for itself.
   *
   * @param namespace of the key
   * @param key that is rebuilt
   * @param cause how the service could not be reached
   */
  default void onLocalRebuild(String namespace, String key, Throwable cause) {}

  /**
   * A result could not be handed over, or a rebuild behind a stale value failed: no caller was told by an exception.
   *
   * @param namespace of the key
   * @param key that it was about
   * @param error what went wrong
   */
  default void onBackgroundError(String namespace, String key, Throwable error) {}
}
