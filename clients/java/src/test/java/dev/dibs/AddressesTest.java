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
import java.net.InetSocketAddress;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
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
  private final Changing name = new Changing();

  @AfterEach
  void close() {
    NameResolverRegistry.getDefaultRegistry().deregister(name);
    one.close();
    two.close();
  }

  /** A name whose addresses a test says. */
  private static final class Changing extends NameResolverProvider {
    private NameResolver.Listener2 listener;
    private NameResolver.Args args;
    private List<FakeSessions> now = List.of();

    Changing() {
      NameResolverRegistry.getDefaultRegistry().register(this);
    }

    synchronized void has(FakeSessions... services) {
      now = List.of(services);
      if (listener == null) return;
      List<EquivalentAddressGroup> groups =
          Stream.of(services)
              .map(service -> new EquivalentAddressGroup(new InetSocketAddress("127.0.0.1", service.port())))
              .toList();
      var result = NameResolver.ResolutionResult.newBuilder().setAddressesOrError(StatusOr.fromValue(groups)).build();
      args.getSynchronizationContext().execute(() -> listener.onResult2(result));
    }

    private synchronized void begins(NameResolver.Args its, NameResolver.Listener2 hears) {
      args = its;
      listener = hears;
      has(now.toArray(FakeSessions[]::new));
    }

    @Override
    protected boolean isAvailable() {
      return true;
    }

    @Override
    protected int priority() {
      return 5;
    }

    @Override
    public String getDefaultScheme() {
      return "changing";
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args its) {
      if (!"changing".equals(target.getScheme())) return null;
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
    try (DibsClient client = DibsClient.builder().target("changing:///dibs").connectTimeout(Until.PATIENCE).build()) {
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
