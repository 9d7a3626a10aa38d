package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.dibs.v1.Draining;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionEvent;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** The sessions of a target that has several addresses. */
final class SessionPoolTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));
  private static final int KEYS = 40;

  private final FakeSessions one = new FakeSessions();
  private FakeSessions two = new FakeSessions();
  private final List<FakeSessions.Stream> streams = new ArrayList<>();
  private DibsClient client = of(one.target() + "," + two.target());

  private static DibsClient of(String target) {
    return of(target, false);
  }

  private static DibsClient of(String target, boolean keyAffinity) {
    return DibsClient.builder()
        .target(target)
        .keyAffinity(keyAffinity)
        .nearCache(1 << 20)
        .connectTimeout(Until.PATIENCE)
        .build();
  }

  @AfterEach
  void close() {
    client.close();
    one.close();
    two.close();
  }

  private CompletableFuture<String> get(String key) {
    return client.getOrRebuildAsync(key, TEXT.read(Options.Read.STORE), () -> "mine");
  }

  /** The stream that got the call. */
  private FakeSessions.Stream served(String key) throws Exception {
    return answered(get(key));
  }

  private FakeSessions.Stream answered(CompletableFuture<String> result) throws Exception {
    FakeSessions.Stream served = null;
    while (served == null) {
      for (FakeSessions.Stream stream : streams) {
        SessionCall call = stream.hasCall() ? stream.call() : null;
        if (call == null) continue;
        stream.hit(call, "v");
        served = stream;
      }
      TimeUnit.MILLISECONDS.sleep(1);
    }
    assertEquals("v", result.get());
    return served;
  }

  private Map<String, FakeSessions.Stream> served() throws Exception {
    Map<String, FakeSessions.Stream> all = new HashMap<>();
    for (int at = 0; at < KEYS; at += 1) all.put("k" + at, served("k" + at));
    return all;
  }

  private FakeSessions.Stream welcomed(FakeSessions at) throws Exception {
    FakeSessions.Stream stream = at.stream();
    streams.add(stream);
    assertEquals(List.of("default"), stream.welcome("resume").getWatchedNamespacesList());
    return stream;
  }

  /** The first call opens one, and the other one follows. */
  private void begin() throws Exception {
    CompletableFuture<String> first = get("first");
    welcomed(one);
    welcomed(two);
    answered(first);
    Until.isTrue(() -> new HashSet<>(served().values()).size() == 2);
  }

  @Test
  void hasOneWithEachAddressAndAllCallsOfAKeyGoOverTheSame() throws Exception {
    begin();
    Map<String, FakeSessions.Stream> before = served();
    assertEquals(2, new HashSet<>(before.values()).size());
    assertEquals(before, served());
    assertFalse(one.hasStream() || two.hasStream());
  }

  /** Which keys the second service has, for a client of its own. */
  private Set<String> shareOfTwo(boolean keyAffinity) throws Exception {
    client.close();
    streams.clear();
    client = of(one.target() + "," + two.target(), keyAffinity);
    begin();
    Set<String> share = new HashSet<>();
    served().forEach((key, stream) -> {
      if (stream.isOf(two)) share.add(key);
    });
    return share;
  }

  @Test
  void withKeyAffinityGivesAKeyTheSameReplicaInEveryProcess() throws Exception {
    assertEquals(shareOfTwo(true), shareOfTwo(true));
    assertNotEquals(shareOfTwo(false), shareOfTwo(false));
  }

  @Test
  void asksForEachOfManyKeysWhereItWouldGoByItself() throws Exception {
    begin();
    Map<String, FakeSessions.Stream> alone = served();
    var many = client.getOrRebuildManyAsync(alone.keySet(), TEXT.read(Options.Read.STORE), (keys, rebuild) -> Map.of());
    Map<String, FakeSessions.Stream> together = new HashMap<>();
    for (FakeSessions.Stream stream : streams) {
      SessionCall call = stream.call();
      for (String key : call.getGetOrLockMany().getKeysList()) together.put(key, stream);
      stream.hits(call, "v");
    }
    assertEquals(alone, together);
    assertEquals(KEYS, many.get().size());
  }

  @Test
  void leavesOneThatIsGoneAndFindsItAgain() throws Exception {
    begin();
    Map<String, FakeSessions.Stream> before = served();
    int port = two.port();
    FakeSessions.Stream stays = streams.get(streams.get(0).isOf(two) ? 1 : 0);
    two.close();
    streams.retainAll(List.of(stays));
    served().values().forEach(stream -> assertSame(stays, stream));
    two = new FakeSessions(port);
    FakeSessions.Stream again = welcomed(two);
    Until.isTrue(() -> served("first") == again || new HashSet<>(served().values()).size() == 2);
    // Those of the other one have not moved, and its own have come back.
    before.forEach((key, stream) -> assertSame(stream == stays ? stays : again, servedNow(key)));
  }

  private FakeSessions.Stream servedNow(String key) {
    try {
      return served(key);
    } catch (Exception error) {
      throw new AssertionError(error);
    }
  }

  @Test
  void leavesOneThatDrainsAndStillHearsItsAnswers() throws Exception {
    begin();
    Map<String, FakeSessions.Stream> before = served();
    FakeSessions.Stream drains = streams.get(0);
    String key = before.keySet().stream().filter(one -> before.get(one) == drains).findFirst().orElseThrow();
    CompletableFuture<String> open = get(key);
    SessionCall call = drains.call();
    drains.tell(SessionEvent.newBuilder().setDraining(Draining.getDefaultInstance()));
    // With its answer the event has come as well.
    drains.hit(call, "last");
    assertEquals("last", open.get());
    streams.remove(drains);
    served().values().forEach(stream -> assertNotSame(drains, stream));
  }

  @Test
  void goesOnWithTheOthersWhereOneCannotBeHad() throws Exception {
    begin();
    streams.remove(1).breakOff();
    FakeSessions.Stream stands = streams.get(0);
    for (int time = 0; time < 2; time += 1) {
      served().values().forEach(stream -> assertSame(stands, stream));
      two.stream().breakOff();
    }
    // It is tried again behind the calls.
    welcomed(two);
    Until.isTrue(() -> new HashSet<>(served().values()).size() == 2);
  }

  @Test
  void doesWithoutAnAddressThatNothingListensAt() throws Exception {
    client.close();
    int free;
    try (FakeSessions gone = new FakeSessions()) {
      free = gone.port();
    }
    client = of("127.0.0.1:" + free + "," + one.target());
    CompletableFuture<String> first = get("first");
    welcomed(one);
    answered(first);
    served();
    assertFalse(one.hasStream());
  }

  @Test
  void isTheOnlyOneWhereTheAddressesAreTheSame() throws Exception {
    client.close();
    client = of(one.target() + "," + one.target());
    CompletableFuture<String> first = get("first");
    welcomed(one);
    answered(first);
    served();
    assertFalse(one.hasStream());
  }

  @Test
  void hasNoneBeforeTheFirstCall() throws Exception {
    assertTrue(client.ready(Until.PATIENCE));
    TimeUnit.MILLISECONDS.sleep(50);
    assertFalse(one.hasStream() || two.hasStream());
  }

  private static SocketAddress address(int port) {
    return InetSocketAddress.createUnresolved("dibs", port);
  }

  private static Set<SocketAddress> addresses(int from, int to) {
    Set<SocketAddress> all = new LinkedHashSet<>();
    for (int port = from; port <= to; port += 1) all.add(address(port));
    return all;
  }

  @Test
  void usesNoMoreThanItsShareAndKeepsWhatItUses() {
    assertEquals(addresses(1, 8), new HashSet<>(SessionPool.some(addresses(1, 8), List.of())));
    assertEquals(8, SessionPool.some(addresses(1, 9), List.of()).size());
    List<SocketAddress> used = List.copyOf(addresses(1, 8));
    assertEquals(used, SessionPool.some(addresses(1, 30), used));
    assertEquals(Set.of(address(2), address(9)), new HashSet<>(SessionPool.some(Set.of(address(9), address(2)), used)));
  }

  @Test
  void givesEachItsShareOfTheKeysAndMovesOnlyThoseOfOneThatFails() {
    var shared = new SessionTransport.Shared(null, null, null, null, null);
    List<PoolMember> members =
        addresses(1, 3).stream()
            .map(to -> new PoolMember(to, new SessionTransport(shared, to, null), 7))
            .toList();
    Map<PoolMember, Integer> counts = new HashMap<>();
    PoolMember fails = members.get(2);
    for (int at = 0; at < 3_000; at += 1) {
      String key = "key " + at;
      PoolMember has = SessionPool.choose(members, key, List.of());
      counts.merge(has, 1, Integer::sum);
      PoolMember without = SessionPool.choose(members, key, List.of(fails));
      assertTrue(has == fails ? without != fails : without == has);
    }
    counts.values().forEach(count -> assertTrue(count > 800, counts.values().toString()));
    assertEquals(3, counts.size());
    assertNull(SessionPool.choose(members, "k", members));
    // One that has failed is left alone for a while.
    members.forEach(PoolMember::failed);
    assertNull(SessionPool.choose(members, "k", List.of()));
  }
}
