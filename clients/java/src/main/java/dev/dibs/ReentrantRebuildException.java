package dev.dibs;

/** A rebuild asks for its own value, directly or through the rebuild of another key. It would wait for itself. */
public final class ReentrantRebuildException extends DibsException {
  private static final long serialVersionUID = 1L;

  /**
   * For the client, and for test doubles of it.
   *
   * @param key that is asked for
   */
  public ReentrantRebuildException(String key) {
    super("dibs: the rebuild of \"%s\" asks for \"%s\" itself".formatted(key, key), null, null);
  }
}
