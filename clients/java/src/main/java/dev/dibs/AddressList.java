package dev.dibs;

import io.grpc.Attributes;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.Status;
import io.grpc.StatusOr;
import java.net.URI;
import java.net.URISyntaxException;
import java.util.ArrayList;
import java.util.List;

/** All addresses of several names. A name that cannot be resolved is left out, unless none can be resolved. */
final class AddressList extends NameResolver {
  private static final String SCHEME = "dibs-list";

  private final String authority;
  private final List<Name> names;
  private Listener2 listener;

  private AddressList(List<String> names, Args args) {
    this.authority = names.get(0);
    this.names = names.stream().map(name -> new Name(name, args)).toList();
  }

  private static final class Registered {
    static {
      NameResolverRegistry.getDefaultRegistry().register(new Provider());
    }

    static void done() {}
  }

  /** A target for gRPC; registers the scheme. {@code text} is {@code HOST:PORT,HOST:PORT}. */
  static String uri(String text) {
    Registered.done();
    return encoded(SCHEME, text).toString();
  }

  /** An IPv6 address has brackets, which are not allowed in a path. */
  private static URI encoded(String scheme, String path) {
    try {
      return new URI(scheme, "", "/" + path, null);
    } catch (URISyntaxException error) {
      throw new IllegalArgumentException(error);
    }
  }

  private static final class Provider extends NameResolverProvider {
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
      return SCHEME;
    }

    @Override
    public NameResolver newNameResolver(URI target, Args args) {
      if (!SCHEME.equals(target.getScheme())) return null;
      return new AddressList(List.of(target.getPath().substring(1).split(",")), args);
    }
  }

  @Override
  public String getServiceAuthority() {
    return authority;
  }

  @Override
  public void start(Listener2 listener) {
    this.listener = listener;
    names.forEach(Name::start);
  }

  @Override
  public void refresh() {
    names.forEach(name -> name.resolver.refresh());
  }

  @Override
  public void shutdown() {
    names.forEach(name -> name.resolver.shutdown());
  }

  private void tell() {
    List<EquivalentAddressGroup> known = new ArrayList<>();
    names.forEach(name -> known.addAll(name.known));
    boolean isComplete = names.stream().allMatch(name -> !name.known.isEmpty() || name.failed != null);
    // Names that can be resolved do not wait for those that cannot.
    if (!known.isEmpty()) tell(StatusOr.fromValue(known), isComplete);
    else if (isComplete) tell(StatusOr.fromStatus(names.get(0).failed), true);
  }

  private void tell(StatusOr<List<EquivalentAddressGroup>> known, boolean isComplete) {
    var result = ResolutionResult.newBuilder().setAddressesOrError(known);
    if (!isComplete) result.setAttributes(Attributes.newBuilder().set(AddressBalancer.INCOMPLETE, true).build());
    listener.onResult2(result.build());
  }

  /** One of the names. On failure it keeps its last known addresses. */
  private final class Name extends Listener2 {
    private final String text;
    private final Args args;
    private final NameResolver resolver;
    private List<EquivalentAddressGroup> known = List.of();
    private Status failed;

    Name(String text, Args args) {
      this.text = text;
      this.args = args;
      this.resolver =
          NameResolverRegistry.getDefaultRegistry().asFactory().newNameResolver(encoded("dns", text), args);
    }

    void start() {
      resolver.start(this);
    }

    @Override
    public void onResult(ResolutionResult result) {
      StatusOr<List<EquivalentAddressGroup>> found = result.getAddressesOrError();
      if (!found.hasValue()) onError(found.getStatus());
      else heard(found.getValue().stream().map(this::named).toList(), null);
    }

    @Override
    public void onError(Status error) {
      heard(null, error);
    }

    private void heard(List<EquivalentAddressGroup> addresses, Status error) {
      args.getSynchronizationContext()
          .execute(
              () -> {
                if (addresses != null) known = addresses;
                failed = error;
                tell();
              });
    }

    /** A certificate is checked against the single name, not the list. */
    private EquivalentAddressGroup named(EquivalentAddressGroup group) {
      var attributes =
          group.getAttributes().toBuilder().set(EquivalentAddressGroup.ATTR_AUTHORITY_OVERRIDE, text).build();
      return new EquivalentAddressGroup(group.getAddresses(), attributes);
    }
  }
}
