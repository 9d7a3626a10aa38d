package dev.dibs;

/**
 * What a rebuild threw, on its way to its caller. Futures ask an exception for its text when they pass it on, and a
 * user's exception may throw when it is asked: then the future would never end.
 */
final class Thrown extends Exception {
  private static final long serialVersionUID = 1L;

  /** The class of the rebuild, which stands for the place in the code where it is written. */
  private final transient Class<?> writtenAs;

  Thrown(Throwable error, Class<?> writtenAs) {
    super("a rebuild threw", error, false, false);
    this.writtenAs = writtenAs;
  }

  /** The exception itself. */
  static Throwable by(Throwable error) {
    return error instanceof Thrown thrown ? thrown.getCause() : error;
  }

  /**
   * The exception for a caller whose own rebuild is of the class {@code mine}. One that has joined the rebuild of another
   * place in the code cannot catch what that declares: it gets a checked exception as the cause of an unchecked one.
   */
  static Throwable to(Class<?> mine, Throwable error) {
    Throwable thrown = by(error);
    boolean isChecked = thrown instanceof Exception && !(thrown instanceof RuntimeException);
    boolean isForeign = error instanceof Thrown wrapper && wrapper.writtenAs != mine;
    return isChecked && isForeign ? new RebuildFailedException(FailureMessage.of(thrown), null, thrown) : thrown;
  }

  /** The exception as the future of a user can carry it. */
  static Throwable inFuture(Throwable thrown) {
    try {
      thrown.toString();
      return thrown;
    } catch (Throwable fault) {
      return new IllegalStateException(
          "the rebuild threw a " + thrown.getClass().getName() + ", whose text cannot be read", thrown);
    }
  }

  /** Throws what the compiler cannot know of: what a caller's own rebuild threw. */
  @SuppressWarnings("unchecked")
  static <E extends Throwable> RuntimeException unchecked(Throwable error) throws E {
    throw (E) error;
  }
}
