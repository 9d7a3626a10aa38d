package dev.dibs;

import io.grpc.Attributes;
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
 * Round robin over the addresses of a target, as in gRPC, except that a call may choose its address. Reports which
 * addresses are connected, and resolves a name again from time to time: gRPC does so only after a connection has ended,
 * and would not find a replica that was added.
 */
final class AddressBalancer extends ForwardingLoadBalancer {
  /** The address to which the call goes. The call fails if that address is not connected. */
  static final CallOptions.Key<SocketAddress> TO = CallOptions.Key.create("dibs-address");

  /** Receives the address of the call, before the call leaves. */
  static final CallOptions.Key<Consumer<SocketAddress>> PICKED = CallOptions.Key.create("dibs-picked");

  /** Receives changes of the addresses, beginning with the call that brings this listener. */
  interface Hears {
    /** These are connected now; {@code all}: no other address is known. Must not block. */
    void connected(Set<SocketAddress> addresses, boolean all);
  }

  static final CallOptions.Key<Hears> CONNECTED = CallOptions.Key.create("dibs-connected");

  /** Set on addresses that are not all: a name of the target has had no answer yet. */
  static final Attributes.Key<Boolean> INCOMPLETE = Attributes.Key.create("dibs-incomplete");

  private static final String POLICY = "dibs_addresses";

  /** gRPC and the JDK cache the addresses of a name for 30 s each: a lookup after that is not wasted. */
  private static final long LOOK_UP_S = 31;

  private final Helper helper;
  private final LoadBalancer turns;
  private final Set<Hears> told = new CopyOnWriteArraySet<>();

  /** Replaced as a whole, in the synchronization context of the channel. */
  private volatile Map<SocketAddress, Connected> connected = Map.of();

  private Set<SocketAddress> known = Set.of();
  private boolean isIncomplete;

  /** The failure of all known addresses while the others are unknown; null if there is none. */
  private SubchannelPicker withheld;

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

  /** The name of this policy; registers it with gRPC. */
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
    isIncomplete = addresses.getAttributes().get(INCOMPLETE) != null;
    Status status = turns.acceptResolvedAddresses(addresses);
    // If the last name brought no address, round robin has nothing new to say.
    if (withheld != null) publish(ConnectivityState.TRANSIENT_FAILURE, withheld);
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
    // Before the rest: what is already known is reported at once.
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

  /**
   * A failure is withheld until all names have answered. With a list A,B, the address of A may refuse before that of B
   * is known, and calls would fail although B stands.
   */
  private void publish(ConnectivityState state, SubchannelPicker turn) {
    boolean isWithheld = isIncomplete && state == ConnectivityState.TRANSIENT_FAILURE;
    withheld = isWithheld ? turn : null;
    SubchannelPicker its = isWithheld ? new FixedResultPicker(PickResult.withNoResult()) : turn;
    helper.updateBalancingState(
        isWithheld ? ConnectivityState.CONNECTING : state,
        new SubchannelPicker() {
          @Override
          public PickResult pickSubchannel(PickSubchannelArgs args) {
            return pick(args, its);
          }
        });
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
    // Only now: a listener must already know which address this call uses.
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

  /** Intercepts what round robin makes of its addresses on its way to the channel. */
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
      publish(state, turn);
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

    /** The address was removed from the target. Calls in progress there still complete. */
    @Override
    public void shutdown() {
      changed(this, false);
      subchannel.shutdown();
    }
  }
}
