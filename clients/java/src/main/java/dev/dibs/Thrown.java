package dev.dibs;

/**
 * Wraps a rebuild's exception on its way to the caller. Futures call {@code toString} of an exception when they pass it
 * on, and a user's exception may throw from that: the future would then never complete.
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
   * The exception for a caller whose own rebuild has the class {@code mine}. A caller that joined a rebuild from
   * another place in the code cannot catch what that declares: it gets a checked exception as the cause of an unchecked
   * one.
   */
  static Throwable to(Class<?> mine, Throwable error) {
    Throwable thrown = by(error);
    boolean isChecked = thrown instanceof Exception && !(thrown instanceof RuntimeException);
    boolean isForeign = error instanceof Thrown wrapper && wrapper.writtenAs != mine;
    return isChecked && isForeign ? new RebuildFailedException(FailureMessage.of(thrown), null, thrown) : thrown;
  }

  /** The exception in a form that a user's future can carry. */
  static Throwable inFuture(Throwable thrown) {
    try {
      thrown.toString();
      return thrown;
    } catch (Throwable fault) {
      return new IllegalStateException(
          "the rebuild threw a " + thrown.getClass().getName() + ", whose text cannot be read", thrown);
    }
  }

  /** Throws what a caller's own rebuild threw, unknown to the compiler. */
  @SuppressWarnings("unchecked")
  static <E extends Throwable> RuntimeException unchecked(Throwable error) throws E {
    throw (E) error;
  }
}
