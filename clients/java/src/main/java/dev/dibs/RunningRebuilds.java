package dev.dibs;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/** The rebuilds of this process under a lease, by key: callers with other options may join them too. */
final class RunningRebuilds {
  private final Map<FullKey, RunningRebuild> running = new HashMap<>();

  /** Null if none runs. */
  synchronized RunningRebuild of(FullKey key) {
    return running.get(key);
  }

  synchronized void add(RunningRebuild rebuild) {
    RunningRebuild before = running.put(rebuild.key(), rebuild);
    if (before != null) before.close();
  }

  synchronized void remove(RunningRebuild rebuild) {
    running.remove(rebuild.key(), rebuild);
  }

  /** These keys have changed: a running rebuild may have read the source before the change. */
  void changed(Predicate<FullKey> isChanged) {
    List<RunningRebuild> all;
    synchronized (this) {
      all = running.values().stream().filter(rebuild -> isChanged.test(rebuild.key())).toList();
    }
    all.forEach(RunningRebuild::close);
  }
}
