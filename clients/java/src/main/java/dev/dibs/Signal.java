package dev.dibs;

import java.util.ArrayList;
import java.util.List;

/** Says once, to all listeners, that something is over. */
final class Signal {
  private boolean raised;
  private List<Runnable> listeners = new ArrayList<>(2);

  synchronized boolean isRaised() {
    return raised;
  }

  /** Runs {@code listener} when it is raised, at once if it is; the result ends the listening. */
  Runnable onRaise(Runnable listener) {
    synchronized (this) {
      if (!raised) {
        listeners.add(listener);
        return () -> forget(listener);
      }
    }
    listener.run();
    return () -> {};
  }

  void raise() {
    List<Runnable> all;
    synchronized (this) {
      if (raised) return;
      raised = true;
      all = listeners;
      listeners = List.of();
    }
    all.forEach(Runnable::run);
  }

  private synchronized void forget(Runnable listener) {
    if (!raised) listeners.remove(listener);
  }
}
