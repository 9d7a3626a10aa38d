package dev.dibs;

/** The callers that wait for one piece of work. When the last one has left, the work is notified. */
final class Audience {
  private final Signal left = new Signal();
  private int callers;
  private boolean gone;

  /** With its first caller. */
  Audience() {
    callers = 1;
  }

  /** False if all have left: abandoned work must not be joined. */
  synchronized boolean enter() {
    if (gone) return false;
    callers += 1;
    return true;
  }

  void leave() {
    synchronized (this) {
      callers -= 1;
      if (callers > 0) return;
      gone = true;
    }
    left.raise();
  }

  /** Raised when the last caller has left. */
  Signal left() {
    return left;
  }
}
