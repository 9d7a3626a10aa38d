package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.dibs.v1.GetOrLockRequest;
import dev.dibs.v1.SessionCall;
import io.grpc.ConnectivityState;
import io.grpc.EquivalentAddressGroup;
import io.grpc.LoadBalancer;
import io.grpc.LoadBalancerRegistry;
import io.grpc.ManagedChannel;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.Status;
import io.grpc.StatusOr;
import io.grpc.SynchronizationContext;
import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Names, and what becomes of their addresses. */
final class AddressesTest {
  private static final Options<String> TEXT = Options.of(Codec.UTF_8, Duration.ofMinutes(1));

  private final FakeSessions one = new FakeSessions();
  private final FakeSessions two = new FakeSessions();
  private final Changing name = new Changing("changing");

  /** Each name of a list is one of DNS. */
  private final Changing late = new Changing("dns");

  @AfterEach
  void close() {
    NameResolverRegistry.getDefaultRegistry().deregister(name);
    NameResolverRegistry.getDefaultRegistry().deregister(late);
    one.close();
    two.close();
  }

  /** The name {@code late.test:1} of a scheme, with the answers that a test gives. */
  private static final class Changing extends NameResolverProvider {
    private final String scheme;

    /** For all other names of the scheme; null if there are none. */
    private final NameResolverProvider others;

    private NameResolver.Listener2 listener;
    private NameResolver.Args args;

    /** Null before there is an answer. */
    private StatusOr<List<EquivalentAddressGroup>> now;

    Changing(String scheme) {
      this.scheme = scheme;
      this.others = NameResolverRegistry.getDefaultRegistry().getProviderForScheme(scheme);
      NameResolverRegistry.getDefaultRegistry().register(this);
    }

    void has(FakeSessions... services) {
      List<EquivalentAddressGroup> groups =
          Stream.of(services)
              .map(service -> new EquivalentAddressGroup(new InetSocketAddress("127.0.0.1", service.port())))
              .toList();
      answers(StatusOr.fromValue(groups));
    }

    void isUnknown() {
      answers(StatusOr.fromStatus(Status.UNAVAILABLE.withDescription("no such name")));
    }

    private synchronized void answers(StatusOr<List<EquivalentAddressGroup>> answer) {
      now = answer;
      if (listener == null) return;
      var result = NameResolver.ResolutionResult.newBuilder().setAddressesOrError(answer).build();
      args.getSynchronizationContext().execute(() -> listener.onResult2(result));
    }

    private synchronized void begins(NameResolver.Args its, NameResolver.Listener2 hears) {
      args = its;
      listener = hears;
      if (now != null) answers(now);
    }

    @Override
    protected boolean isAvailable() {
      return true;
    }

    @Override
    protected int priority() {
      return 10;
    }

    @Override
    public String getDefaultScheme() {
      return scheme;
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args its) {
      if (!scheme.equals(target.getScheme())) return null;
      if (others != null && !"/late.test:1".equals(target.getPath())) return others.newNameResolver(target, its);
      return new NameResolver() {
        @Override
        public String getServiceAuthority() {
          return "dibs";
        }

        @Override
        public void start(Listener2 hears) {
          begins(its, hears);
        }

        @Override
        public void shutdown() {}
      };
    }
  }

  @Test
  void thatAreNewAreTakenUpAndThoseThatAreGoneAreLeft() throws Exception {
    name.has(one);
    try (DibsClient client = DibsClient.builder().target("changing:///late.test:1").connectTimeout(Until.PATIENCE).build()) {
      CompletableFuture<String> first = client.getOrRebuildAsync("k", TEXT, () -> "mine");
      FakeSessions.Stream old = one.stream();
      old.welcome("resume");
      old.hit(old.call(), "v");
      assertEquals("v", first.get());
      name.has(two, one);
      FakeSessions.Stream added = two.stream();
      added.welcome("resume");
      Until.isTrue(() -> servedOf(client, old, added).equals(Set.of(old, added)));
      assertFalse(one.hasStream(), "the session that was there goes on");
      List<CompletableFuture<String>> open = new ArrayList<>();
      while (!old.hasCall()) open.add(get(client, "open" + open.size()));
      SessionCall held = old.call();
      name.has(two);
      Until.isTrue(() -> servedOf(client, old, added).equals(Set.of(added)));
      old.hit(held, "v");
      assertEquals("v", open.get(open.size() - 1).get());
      assertFalse(old.hasEnded(), "leases that it gave go on");
    }
  }

  private static CompletableFuture<String> get(DibsClient client, String key) {
    return client.getOrRebuildAsync(key, TEXT, () -> "mine");
  }

  /** The streams that get the calls of some keys. */
  private static Set<FakeSessions.Stream> servedOf(DibsClient client, FakeSessions.Stream... streams)
      throws Exception {
    Set<FakeSessions.Stream> served = new HashSet<>();
    for (int at = 0; at < 20; at += 1) {
      CompletableFuture<String> result = get(client, "k" + at);
      while (!result.isDone()) {
        for (FakeSessions.Stream stream : streams) {
          if (!stream.hasCall()) continue;
          stream.hit(stream.call(), "v");
          served.add(stream);
        }
        TimeUnit.MILLISECONDS.sleep(1);
      }
      assertEquals("v", result.get());
    }
    return served;
  }

  @Test
  void thatCannotBeLookedUpAreLeftOutOfAList() throws Exception {
    try (FakeService fake = new FakeService()) {
      fake.will(GetOrLockRequest.class, FakeService.hit("v"));
      DibsClientBuilder builder =
          DibsClient.builder().session(false).onUnavailable(OnUnavailable.FAIL).connectTimeout(Duration.ofSeconds(10));
      try (DibsClient client = builder.target("nowhere.invalid:1," + fake.target()).build()) {
        assertEquals("v", client.getOrRebuild("k", TEXT, () -> "never"));
      }
      try (DibsClient client = builder.target("nowhere.invalid:1,neither.invalid:1").build()) {
        assertThrows(DibsStatusException.class, () -> client.getOrRebuild("k", TEXT, () -> "never"));
      }
    }
  }

  /**
   * A call that waits for the name. Two connections of the address are closed at once: with the second, the client knows
   * that the first has failed.
   */
  private static CompletableFuture<String> refused(DibsClient client, ServerSocket refusing) throws Exception {
    CompletableFuture<String> first = get(client, "k");
    for (int time = 0; time < 2; time += 1) refusing.accept().close();
    assertFalse(first.isDone());
    return first;
  }

  @Test
  void thatRefuseAreNotAllWhileANameIsBeingLookedUp() throws Exception {
    try (ServerSocket refusing = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
        DibsClient client = client("127.0.0.1:" + refusing.getLocalPort() + ",late.test:1")) {
      CompletableFuture<String> first = refused(client, refusing);
      late.has(one);
      FakeSessions.Stream stream = one.stream();
      stream.welcome("resume");
      stream.hit(stream.call(), "v");
      assertEquals("v", first.get());
    }
  }

  @Test
  void thatRefuseAreAllOnceTheNameIsUnknown() throws Exception {
    try (ServerSocket refusing = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
        DibsClient client = client("127.0.0.1:" + refusing.getLocalPort() + ",late.test:1")) {
      CompletableFuture<String> first = refused(client, refusing);
      late.isUnknown();
      // Long before the bound for a connection.
      assertThrows(ExecutionException.class, () -> first.get(20, TimeUnit.SECONDS));
    }
  }

  private static DibsClient client(String target) {
    return DibsClient.builder()
        .target(target)
        .onUnavailable(OnUnavailable.FAIL)
        .connectTimeout(Duration.ofMinutes(1))
        .build();
  }

  /** A channel, as far as a balancer of loads that connects to nothing sees it. */
  private static final class Helper extends LoadBalancer.Helper {
    private final SynchronizationContext context =
        new SynchronizationContext((thread, error) -> {
          throw new AssertionError(error);
        });
    private final List<Long> plannedS = new ArrayList<>();
    private Runnable planned;
    private int lookups;

    @Override
    public SynchronizationContext getSynchronizationContext() {
      return context;
    }

    @Override
    public ScheduledExecutorService getScheduledExecutorService() {
      Class<?>[] its = {ScheduledExecutorService.class};
      return (ScheduledExecutorService)
          Proxy.newProxyInstance(getClass().getClassLoader(), its, (proxy, method, arguments) -> {
            planned = (Runnable) arguments[0];
            plannedS.add(((TimeUnit) arguments[2]).toSeconds((Long) arguments[1]));
            return Proxy.newProxyInstance(
                getClass().getClassLoader(), new Class<?>[] {ScheduledFuture.class}, (future, how, none) -> true);
          });
    }

    @Override
    public void refreshNameResolution() {
      lookups += 1;
    }

    @Override
    public ManagedChannel createOobChannel(EquivalentAddressGroup group, String authority) {
      throw new AssertionError("not of a client");
    }

    @Override
    public void updateBalancingState(ConnectivityState state, LoadBalancer.SubchannelPicker picker) {}

    @Override
    public String getAuthority() {
      return "dibs";
    }
  }

  @Test
  void areLookedUpAgainFromTimeToTime() {
    Helper helper = new Helper();
    var provider = LoadBalancerRegistry.getDefaultRegistry().getProvider(AddressBalancer.policy());
    LoadBalancer balancer = provider.newLoadBalancer(helper);
    // Also where the name was not found.
    helper.context.execute(() -> balancer.handleNameResolutionError(Status.UNAVAILABLE));
    assertEquals(List.of(31L), helper.plannedS);
    for (int time = 1; time <= 3; time += 1) {
      helper.planned.run();
      assertEquals(time, helper.lookups);
      assertEquals(1 + time, helper.plannedS.size());
    }
    Runnable last = helper.planned;
    helper.context.execute(balancer::shutdown);
    last.run();
    assertEquals(3, helper.lookups);
  }
}
