package dev.dibs;

import io.opentelemetry.context.Context;
import io.opentelemetry.context.ContextKey;
import io.opentelemetry.context.Scope;
import java.util.Set;
import java.util.concurrent.Callable;

/**
 * The rebuilds that enclose the current code, innermost first. It is carried by OpenTelemetry's context, which follows
 * a call across threads if the application propagates its traces.
 */
final class RebuildChain {
  private static final ContextKey<RebuildChain> KEY = ContextKey.named("dibs-rebuilds");
  private static final RebuildChain NONE = new RebuildChain(null, Set.of(), null);

  private final Object client;
  private final Set<FullKey> keys;
  private final RebuildChain outer;

  /** A flow that a rebuild began and that outlives it does not block it. */
  private volatile boolean ended;

  private RebuildChain(Object client, Set<FullKey> keys, RebuildChain outer) {
    this.client = client;
    this.keys = keys;
    this.outer = outer;
  }

  /** Throws if the call would wait for its own rebuild. */
  static void refuse(Object client, FullKey key) {
    for (RebuildChain at = Context.current().get(KEY); at != null; at = at.outer) {
      if (!at.ended && at.client == client && at.keys.contains(key)) throw new ReentrantRebuildException(key.key());
    }
  }

  /** Runs the rebuild of these keys. */
  static <T> T run(Object client, Set<FullKey> keys, Callable<T> rebuild) throws Exception {
    Context current = Context.current();
    RebuildChain link = new RebuildChain(client, keys, current.get(KEY));
    Scope scope = current.with(KEY, link).makeCurrent();
    try {
      return rebuild.call();
    } finally {
      scope.close();
      link.ended = true;
    }
  }

  /** The context of a rebuild that continues in the background: the code that began it does not wait for it. */
  static Context alone(Context context) {
    return context.with(KEY, NONE);
  }
}
