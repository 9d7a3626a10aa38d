package dev.dibs.conformance;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;

/** Gates at which rebuilds wait until the scenario opens them. */
final class Gates {
  private final Map<String, CountDownLatch> gates = new ConcurrentHashMap<>();

  CountDownLatch of(String name) {
    return gates.computeIfAbsent(name, unknown -> new CountDownLatch(1));
  }
}
