package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.AbstractList;
import java.util.List;
import org.junit.jupiter.api.Test;

final class WatchedNamespaceTest {
  private final WatchedNamespace namespace = new WatchedNamespace();

  /** A value with one tag, and what another thread does while that is searched for. */
  private static List<String> tagged(String tag, Runnable meanwhile) {
    return new AbstractList<>() {
      @Override
      public String get(int index) {
        meanwhile.run();
        return tag;
      }

      @Override
      public int size() {
        return 1;
      }
    };
  }

  @Test
  void aChangeOfEverythingDuringAReadHidesNoEarlierOne() {
    namespace.tag("t", 5);
    assertFalse(namespace.hasChanged(tagged("other", () -> {}), 3));
    assertTrue(namespace.hasChanged(tagged("t", () -> namespace.whole(6)), 3));
  }

  @Test
  void tagsThatAreForgottenDuringAReadHaveStillChanged() {
    long change = 5;
    namespace.tag("t", change);
    while (change < 10_004) namespace.tag("other " + change, ++change);
    assertTrue(namespace.hasChanged(tagged("t", () -> namespace.tag("one more", 10_005)), 3));
    assertTrue(namespace.hasChanged(List.of("t"), 3));
    assertFalse(namespace.hasChanged(List.of("t"), 10_004));
  }
}
