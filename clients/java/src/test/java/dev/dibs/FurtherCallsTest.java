package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Reads, writes, and calls for many keys, as Java has them; what all clients do is in the conformance suite. */
final class FurtherCallsTest extends OnService {
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void readsWhatIsThereAndSaysHowFresh(boolean session) throws Exception {
    DibsClient client = client(session);
    // There is nothing to wait for. It is the time that an answer may take on a busy machine.
    Options<String> stale = TEXT.staleTtl(Duration.ofMinutes(1)).maxWait(Until.PATIENCE);
    assertEquals(Optional.empty(), client.get(key, stale));
    assertTrue(client.set(key, "v", stale).isStored());
    assertEquals(Optional.of(new Cached<>("v", Freshness.FRESH)), client.getAsync(key, stale).get());
    client.invalidate(Invalidation.ofKeys(key).markingStale());
    assertEquals(Optional.of(new Cached<>("v", Freshness.STALE)), client.get(key, stale.read(Options.Read.STORE)));
    assertEquals(PublishOutcome.STORED, client.setAsync(key, null, stale).get().outcome());
    Cached<String> absent = client.get(key, stale).orElseThrow();
    assertTrue(absent.isAbsent());
    assertNull(absent.value());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aRebuildMayNotSetItsOwnKey(boolean session) {
    DibsClient client = client(session);
    assertThrows(
        ReentrantRebuildException.class,
        () -> client.getOrRebuild(key, TEXT, () -> client.set(key, "inner", TEXT).outcome().name()));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void returnsAllKeysInTheirOrder(boolean session) {
    DibsClient client = client(session);
    List<String> keys = List.of(key + " c", key + " a", key + " b", key + " a");
    Map<String, String> expected = new LinkedHashMap<>();
    expected.put(key + " c", "of c");
    expected.put(key + " a", null);
    expected.put(key + " b", "of b");
    Map<String, String> made = Map.of(key + " c", "of c", key + " b", "of b");
    Map<String, String> values = client.getOrRebuildMany(keys, TEXT, missing -> made);
    assertEquals(new ArrayList<>(expected.entrySet()), new ArrayList<>(values.entrySet()));
    assertEquals(expected, client(session).getOrRebuildMany(keys, TEXT, missing -> Map.of()));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void whatTheSourceThrowsIsTheErrorOfEachKeyItself(boolean session) {
    DibsClient client = client(session);
    IOException fault = new IOException("away");
    String there = key + " there";
    client.set(there, "v", TEXT);
    DibsManyException many =
        assertThrows(
            DibsManyException.class,
            () -> client.getOrRebuildMany(List.of(key, there), TEXT, missing -> { throw fault; }));
    assertSame(fault, many.errors().get(key));
    assertSame(fault, many.getCause());
    assertEquals(Map.of(there, "v"), many.values());
    assertTrue(many.getMessage().startsWith("1 of 2 keys failed"), many.getMessage());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aMapIsWantedAndOnlyOfTheKeysThatAreRebuilt(boolean session) {
    DibsClient client = client(session);
    SourceMany<String> none = missing -> null;
    var nothing =
        assertThrows(DibsManyException.class, () -> client.getOrRebuildMany(List.of(key), TEXT, none)).getCause();
    assertEquals("the rebuild returned null: return a map of values by key", nothing.getMessage());
    String other = key + " other";
    RebuildManyFunction<String> strange = (missing, rebuild) -> Map.of(other, rebuild.of("strange").reason().name());
    var error =
        assertThrows(DibsManyException.class, () -> client.getOrRebuildMany(List.of(other), TEXT, strange)).getCause();
    assertEquals("\"strange\" is not one of the keys of this rebuild", error.getMessage());
  }

  /** A thousand rebuilds that each waited on a thread of its own would need as many. */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void allKeysOfACallAreRebuiltOnOneThread(boolean session) throws Exception {
    ExecutorService one = Executors.newSingleThreadExecutor();
    ConcurrentLinkedQueue<Integer> runs = new ConcurrentLinkedQueue<>();
    try (DibsClient client = service.client().session(session).executor(one).build()) {
      List<String> keys = IntStream.range(0, 300).mapToObj(at -> key + " " + at).toList();
      Map<String, String> values =
          client.getOrRebuildMany(
              keys,
              TEXT,
              missing -> {
                runs.add(missing.size());
                Map<String, String> made = new LinkedHashMap<>();
                missing.forEach(name -> made.put(name, "v " + name));
                return made;
              });
      assertEquals(300, values.size());
      assertEquals("v " + keys.get(299), values.get(keys.get(299)));
      assertEquals(300, runs.stream().mapToInt(Integer::intValue).sum());
    } finally {
      one.shutdown();
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void explainsInItsOwnWords(boolean session) throws Exception {
    DibsClient client = client(session);
    client.set(key, "value", TEXT.tags("t"));
    Explanation explained = client.explain(key);
    Explanation.Value value = explained.value().orElseThrow();
    assertEquals(5, value.sizeBytes());
    assertEquals(List.of("t"), value.tags());
    assertEquals(Freshness.FRESH, value.freshness());
    assertEquals(LeaseEnd.PUBLISHED, explained.pastLeases().get(0).end());
    assertEquals(Optional.empty(), explained.lease());
    RebuildReason reason =
        client.getOrRebuild(
            key + " held",
            Options.of(RebuildReason.class, Duration.ofMinutes(1)),
            () -> client.explainAsync(key + " held").join().lease().orElseThrow().reason());
    assertEquals(RebuildReason.MISS, reason);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void badInputIsToldByTheFutureToo(boolean session) {
    DibsClient client = client(session);
    String half = "half \ud83d";
    for (var call :
        List.of(
            client.getAsync(half, TEXT),
            client.setAsync(half, "v", TEXT),
            client.explainAsync(half),
            client.getOrRebuildManyAsync(List.of(half), TEXT, (missing, rebuild) -> Map.of()))) {
      Throwable error = assertThrows(ExecutionException.class, call::get).getCause();
      assertTrue(error.getMessage().startsWith("key"), error.getMessage());
    }
  }
}
