package dev.dibs;

import io.grpc.CallOptions;
import io.grpc.ConnectivityState;
import io.grpc.ConnectivityStateInfo;
import io.grpc.EquivalentAddressGroup;
import io.grpc.LoadBalancer;
import io.grpc.LoadBalancerProvider;
import io.grpc.LoadBalancerRegistry;
import io.grpc.Status;
import io.grpc.SynchronizationContext.ScheduledHandle;
import io.grpc.util.ForwardingLoadBalancer;
import io.grpc.util.ForwardingLoadBalancerHelper;
import io.grpc.util.ForwardingSubchannel;
import java.net.SocketAddress;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArraySet;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * Round robin over the addresses of a target, as gRPC has it, but that a call may name the address that it goes to. It
 * tells which addresses are connected, and looks a name up again from time to time: gRPC alone does so only after a
 * connection has ended, and would not find a replica that is added.
 */
final class AddressBalancer extends ForwardingLoadBalancer {
  /** The address that the call goes to. It fails where that is not connected. */
  static final CallOptions.Key<SocketAddress> TO = CallOptions.Key.create("dibs-address");

  /** Is told the address that the call goes to, before it does. */
  static final CallOptions.Key<Consumer<SocketAddress>> PICKED = CallOptions.Key.create("dibs-picked");

  /** What is told of the addresses, from the call on that brings it. */
  interface Hears {
    /** These are connected now; {@code all}: no other one is known. Not to be held up. */
    void connected(Set<SocketAddress> addresses, boolean all);
  }

  static final CallOptions.Key<Hears> CONNECTED = CallOptions.Key.create("dibs-connected");

  private static final String POLICY = "dibs_addresses";

  /** gRPC and the JDK keep the addresses of a name for 30 s each, so that no lookup is wasted after those. */
  private static final long LOOK_UP_S = 31;

  private final Helper helper;
  private final LoadBalancer turns;
  private final Set<Hears> told = new CopyOnWriteArraySet<>();

  /** Replaced as a whole, in the synchronization context of the channel. */
  private volatile Map<SocketAddress, Connected> connected = Map.of();

  private Set<SocketAddress> known = Set.of();
  private ScheduledHandle lookUp;

  private AddressBalancer(Helper helper) {
    this.helper = helper;
    this.turns =
        LoadBalancerRegistry.getDefaultRegistry().getProvider("round_robin").newLoadBalancer(new Connecting());
  }

  private static final class Registered {
    static {
      LoadBalancerRegistry.getDefaultRegistry().register(new Provider());
    }

    static void done() {}
  }

  /** The name of this policy, which gRPC knows from now on. */
  static String policy() {
    Registered.done();
    return POLICY;
  }

  private static final class Provider extends LoadBalancerProvider {
    @Override
    public boolean isAvailable() {
      return true;
    }

    @Override
    public int getPriority() {
      return 5;
    }

    @Override
    public String getPolicyName() {
      return POLICY;
    }

    @Override
    public LoadBalancer newLoadBalancer(Helper helper) {
      return new AddressBalancer(helper);
    }
  }

  @Override
  protected LoadBalancer delegate() {
    return turns;
  }

  @Override
  public Status acceptResolvedAddresses(ResolvedAddresses addresses) {
    lookUpLater();
    known = addresses.getAddresses().stream().map(AddressBalancer::addressOf).collect(Collectors.toSet());
    Status status = turns.acceptResolvedAddresses(addresses);
    tell();
    return status;
  }

  @Override
  public void handleNameResolutionError(Status error) {
    lookUpLater();
    turns.handleNameResolutionError(error);
  }

  @Override
  public void shutdown() {
    if (lookUp != null) lookUp.cancel();
    known = Set.of();
    turns.shutdown();
    connected = Map.of();
    tell();
  }

  private void lookUpLater() {
    if (lookUp != null) lookUp.cancel();
    lookUp =
        helper
            .getSynchronizationContext()
            .schedule(this::lookUpAgain, LOOK_UP_S, TimeUnit.SECONDS, helper.getScheduledExecutorService());
  }

  private void lookUpAgain() {
    // Before: what is known already is told at once.
    lookUpLater();
    helper.refreshNameResolution();
  }

  private void changed(Connected one, boolean isConnected) {
    Map<SocketAddress, Connected> next = new LinkedHashMap<>(connected);
    boolean isChange = isConnected ? next.put(one.address, one) != one : next.remove(one.address, one);
    if (!isChange) return;
    connected = next;
    tell();
  }

  private void tell() {
    Set<SocketAddress> now = Set.copyOf(connected.keySet());
    boolean all = now.containsAll(known);
    told.forEach(hears -> hears.connected(now, all));
  }

  private static SocketAddress addressOf(EquivalentAddressGroup group) {
    return group.getAddresses().get(0);
  }

  private PickResult pick(PickSubchannelArgs args, SubchannelPicker turn) {
    CallOptions options = args.getCallOptions();
    SocketAddress to = options.getOption(TO);
    PickResult result = to == null ? turn.pickSubchannel(args) : only(to);
    if (!(result.getSubchannel() instanceof Connected one)) return result;
    Consumer<SocketAddress> picked = options.getOption(PICKED);
    if (picked != null) picked.accept(one.address);
    // Only now: whoever is told of the addresses knows already which of them this call goes to.
    Hears hears = options.getOption(CONNECTED);
    if (hears != null && told.add(hears)) helper.getSynchronizationContext().execute(this::tell);
    return result;
  }

  private PickResult only(SocketAddress to) {
    Connected one = connected.get(to);
    return one == null
        ? PickResult.withError(Status.UNAVAILABLE.withDescription("no connection to " + to))
        : PickResult.withSubchannel(one);
  }

  /** What round robin makes of its addresses is seen on its way to the channel. */
  private final class Connecting extends ForwardingLoadBalancerHelper {
    @Override
    protected Helper delegate() {
      return helper;
    }

    @Override
    public Subchannel createSubchannel(CreateSubchannelArgs args) {
      return new Connected(helper.createSubchannel(args), addressOf(args.getAddresses().get(0)));
    }

    @Override
    public void updateBalancingState(ConnectivityState state, SubchannelPicker turn) {
      helper.updateBalancingState(
          state,
          new SubchannelPicker() {
            @Override
            public PickResult pickSubchannel(PickSubchannelArgs args) {
              return pick(args, turn);
            }
          });
    }
  }

  /** One address. */
  private final class Connected extends ForwardingSubchannel {
    private final Subchannel subchannel;
    private final SocketAddress address;

    Connected(Subchannel subchannel, SocketAddress address) {
      this.subchannel = subchannel;
      this.address = address;
    }

    @Override
    protected Subchannel delegate() {
      return subchannel;
    }

    @Override
    public void start(LoadBalancer.SubchannelStateListener listener) {
      subchannel.start(
          (ConnectivityStateInfo info) -> {
            changed(this, info.getState() == ConnectivityState.READY);
            listener.onSubchannelState(info);
          });
    }

    /** Its address is not one of the target any more. What goes on there still ends there. */
    @Override
    public void shutdown() {
      changed(this, false);
      subchannel.shutdown();
    }
  }
}
