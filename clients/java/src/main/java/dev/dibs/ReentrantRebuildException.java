package dev.dibs;

/**
 * A rebuild asks, directly or by the rebuild of another key, for the value that it is to make. It would wait for
 * itself.
 */
public final class ReentrantRebuildException extends DibsException {
  private static final long serialVersionUID = 1L;

  /**
   * For the client, and for doubles of it.
   *
   * @param key that is asked for
   */
  public ReentrantRebuildException(String key) {
    super("dibs: the rebuild of \"%s\" asks for \"%s\" itself".formatted(key, key), null, null);
  }
}
