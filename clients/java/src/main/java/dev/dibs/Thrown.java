package dev.dibs;

/**
 * What a rebuild threw, on its way to its caller. Futures ask an exception for its text when they pass it on, and a
 * user's exception may throw when it is asked: then the future would never end.
 */
final class Thrown extends Exception {
  private static final long serialVersionUID = 1L;

  Thrown(Throwable error) {
    super("a rebuild threw", error, false, false);
  }

  /** The exception itself. */
  static Throwable by(Throwable error) {
    return error instanceof Thrown thrown ? thrown.getCause() : error;
  }

  /** The exception as the future of a user can carry it. */
  static Throwable inFuture(Throwable error) {
    Throwable thrown = by(error);
    try {
      thrown.toString();
      return thrown;
    } catch (Throwable fault) {
      return new IllegalStateException(
          "the rebuild threw a " + thrown.getClass().getName() + ", whose text cannot be read", thrown);
    }
  }
}
