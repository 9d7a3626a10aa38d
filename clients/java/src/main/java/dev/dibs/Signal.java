package dev.dibs;

import java.util.ArrayList;
import java.util.List;

/** Notifies all listeners, once, that something is over. */
final class Signal {
  private boolean raised;
  private List<Runnable> listeners = new ArrayList<>(2);

  synchronized boolean isRaised() {
    return raised;
  }

  /** Runs {@code listener} when the signal is raised, at once if it already is; the result removes the listener. */
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
