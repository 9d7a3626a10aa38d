package dev.dibs;

import io.opentelemetry.api.OpenTelemetry;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.LongSupplier;
import java.util.function.Supplier;

/**
 * The settings of a client. Settings that are not set come from the environment; an empty variable counts as not set.
 */
public final class DibsClientBuilder {
  private final Destination destination;

  /** The longest rebuild. One that takes longer counts as hung, and loses its lease. */
  private Duration leaseHoldMax = Duration.ofMinutes(10);

  private boolean session = true;
  private boolean keyAffinity;
  private String namespace = "";
  private String holder;
  private OnUnavailable onUnavailable = OnUnavailable.REBUILD;
  private Hooks hooks = Hooks.NONE;
  private Executor executor = Threads.REBUILDS;
  private OpenTelemetry openTelemetry;
  private long nearBytesMax;
  private List<String> nearNamespaces = List.of();
  private boolean nearWhenUnavailable;

  /** A test moves its own. */
  LongSupplier nearClock = System::nanoTime;

  DibsClientBuilder() {
    this(System.getenv());
  }

  DibsClientBuilder(Map<String, String> environment) {
    destination = new Destination(environment);
  }

  /**
   * The address of the service. Default: {@code DIBS_TARGET}, else {@code 127.0.0.1:50051}.
   *
   * @param address {@code HOST:PORT}, a comma-separated list of these, {@code dns:///HOST:PORT} or {@code
   *     unix:///path}. Several addresses share the calls of this process: each key goes to one
   * @return this
   */
  public DibsClientBuilder target(String address) {
    destination.target = address;
    return this;
  }

  /**
   * The caller's token, sent as {@code authorization: Bearer}. Default: {@code DIBS_TOKEN}, else the file of
   * {@link #tokenFile}.
   *
   * @param secret ASCII
   * @return this
   */
  public DibsClientBuilder token(String secret) {
    destination.token = secret;
    return this;
  }

  /**
   * The caller's token, if it changes: the function is called for each call and each session.
   *
   * @param secret must not block for long; returns ASCII
   * @return this
   */
  public DibsClientBuilder token(Supplier<String> secret) {
    destination.tokenSource = Objects.requireNonNull(secret, "token");
    return this;
  }

  /**
   * The caller's token, from a file that is read again when it changes. Default: {@code DIBS_TOKEN_FILE}, else none.
   *
   * @param file that contains only the token
   * @return this
   */
  public DibsClientBuilder tokenFile(Path file) {
    destination.tokenFile = Objects.requireNonNull(file, "tokenFile");
    return this;
  }

  /**
   * Whether the token may be sent unencrypted to other machines. Default: false; without TLS, it is only sent to this
   * machine.
   *
   * @param allowed true if the network is protected
   * @return this
   */
  public DibsClientBuilder allowInsecureToken(boolean allowed) {
    destination.insecureToken = allowed;
    return this;
  }

  /**
   * The certificate of this process, for a service that requires one (mutual TLS); enables TLS. Default:
   * {@code DIBS_TLS_CERT} and {@code DIBS_TLS_KEY}, else none. Both files are read again for each connection, so a
   * renewed certificate needs no restart.
   *
   * @param pem a file with the certificate
   * @param key a file with its private key, as PKCS#8
   * @return this
   */
  public DibsClientBuilder tlsCertificate(Path pem, Path key) {
    destination.tlsCert = pem.toString();
    destination.tlsKey = key.toString();
    return this;
  }

  /**
   * The certificate authorities to trust; enables TLS. Default: {@code DIBS_TLS_CA}, else no TLS.
   *
   * @param pem a file
   * @return this
   */
  public DibsClientBuilder tlsCa(Path pem) {
    destination.tlsCa = pem.toString();
    return this;
  }

  /**
   * How long connecting may take before the service counts as unavailable. This limit is shared by all calls, not per
   * call. Default: 2 s.
   *
   * @param duration above 0
   * @return this
   */
  public DibsClientBuilder connectTimeout(Duration duration) {
    Bounds.connectTimeout(duration);
    destination.connectTimeout = duration;
    return this;
  }

  /**
   * Whether all calls share one stream (a session), whose leases end with this process. Default: true. If streams do
   * not work, calls are sent one by one.
   *
   * @param wanted false for calls one by one
   * @return this
   */
  public DibsClientBuilder session(boolean wanted) {
    session = wanted;
    return this;
  }

  /**
   * Whether a key goes to the same replica from every process that uses this target with this option, in any language.
   * All callers of a key then meet at one replica: fewer reads of the store, and one near cache of the service holds
   * the value instead of all. A key that all processes want then loads one replica. Default: false, each client
   * distributes keys its own way.
   *
   * @param wanted needs {@link #session}
   * @return this
   */
  public DibsClientBuilder keyAffinity(boolean wanted) {
    keyAffinity = wanted;
    return this;
  }

  /**
   * How long a lease may be extended in total. After that it counts as lost, even if the rebuild is still running.
   * Default: 10 minutes.
   *
   * @param duration above 0
   * @return this
   */
  public DibsClientBuilder leaseHoldMax(Duration duration) {
    Bounds.leaseHoldMax(duration);
    leaseHoldMax = duration;
    return this;
  }

  /**
   * The namespace of calls that do not name one. Default: the service's {@code default}.
   *
   * @param name at most 64 of {@code [A-Za-z0-9_.-]}
   * @return this
   */
  public DibsClientBuilder namespace(String name) {
    namespace = Objects.requireNonNull(name, "namespace");
    return this;
  }

  /**
   * The name of this process in {@code explain} and in logs. Default: host name and process ID.
   *
   * @param name at most 256 bytes
   * @return this
   */
  public DibsClientBuilder holder(String name) {
    holder = name;
    return this;
  }

  /**
   * What to do if the service cannot be reached. Default: {@link OnUnavailable#REBUILD}.
   *
   * @param choice not null
   * @return this
   */
  public DibsClientBuilder onUnavailable(OnUnavailable choice) {
    onUnavailable = Objects.requireNonNull(choice, "onUnavailable");
    return this;
  }

  /**
   * Receives events. Default: none.
   *
   * @param listener must not block
   * @return this
   */
  public DibsClientBuilder hooks(Hooks listener) {
    hooks = Objects.requireNonNull(listener, "hooks");
    return this;
  }

  /**
   * Runs rebuilds, and what follows a {@code getOrRebuildAsync}. Default: daemon threads, as many as there are
   * concurrent rebuilds.
   *
   * @param threads must run a task even while other tasks wait; not shut down by the client
   * @return this
   */
  public DibsClientBuilder executor(Executor threads) {
    executor = Objects.requireNonNull(threads, "executor");
    return this;
  }

  /**
   * Keeps fresh values in this process's memory while a session reports changes. Use it if the same keys are read many
   * times a second: a hit then sends no request. A value's time counts from when its request was sent, so a caller that
   * waited for a rebuild keeps it for less time. Default: none.
   *
   * @param bytesMax limit for values and keys; least-used entries are dropped
   * @param namespaces whose values are kept, at most 64; default: the client's
   * @return this
   */
  public DibsClientBuilder nearCache(long bytesMax, String... namespaces) {
    if (bytesMax < 1) throw new IllegalArgumentException("nearCache: %d bytes are below 1".formatted(bytesMax));
    nearBytesMax = bytesMax;
    nearNamespaces = List.of(namespaces);
    return this;
  }

  /**
   * Whether calls return values from the near cache while the service cannot be reached, as {@link Freshness#STALE},
   * for as long as they would have been fresh. Default: false.
   *
   * @param wanted needs {@link #nearCache}
   * @return this
   */
  public DibsClientBuilder serveNearWhenUnavailable(boolean wanted) {
    nearWhenUnavailable = wanted;
    return this;
  }

  /**
   * Creates the rebuild spans and the metrics. Default: {@link io.opentelemetry.api.GlobalOpenTelemetry}, which does
   * nothing unless the application has set it.
   *
   * @param instance not null
   * @return this
   */
  public DibsClientBuilder openTelemetry(OpenTelemetry instance) {
    openTelemetry = Objects.requireNonNull(instance, "openTelemetry");
    return this;
  }

  /**
   * Creates the client, which starts to connect; {@link DibsClient#ready} waits for the connection.
   *
   * @return a client, to be closed
   * @throws IllegalArgumentException if the target is malformed, or the token would be sent unencrypted
   * @throws java.io.UncheckedIOException if a configured file cannot be read
   */
  public DibsClient build() {
    Bounds.text("namespace", namespace);
    String name = holder == null ? defaultHolder() : holder;
    Bounds.text("holder", name);
    Link link = destination.link();
    SafeHooks safe = new SafeHooks(hooks);
    NearCache near = near();
    Flights<Found> flights = Flights.ofRequests(() -> near != null && near.isLive());
    Flights<Found> unreadable = Flights.ofWork();
    RunningRebuilds running = new RunningRebuilds();
    Metrics metrics = new Metrics(openTelemetry, namespace);
    LocalRebuilds local = new LocalRebuilds(safe, metrics, executor);
    Changes changes = new Changes(flights, unreadable, running, local, near);
    HeldLeases held = new HeldLeases();
    Transport unary = new UnaryTransport(link);
    int salt = keyAffinity ? 0 : ThreadLocalRandom.current().nextInt();
    var sessions = new SessionTransport.Shared(link, destination.connectTimeout, name, held, changes);
    return new DibsClient(
        link.channel(),
        new Parts(
            session ? new SessionOrUnary(new SessionPool(sessions, salt), unary) : unary,
            link.connection(),
            safe,
            held,
            flights,
            unreadable,
            running,
            local,
            changes,
            new Availability(link.target(), changes::serviceIsBack),
            near,
            new Background(),
            executor,
            new Tracing(openTelemetry),
            metrics,
            namespace,
            name,
            onUnavailable,
            leaseHoldMax));
  }

  private NearCache near() {
    if (nearBytesMax == 0) {
      if (!nearWhenUnavailable) return null;
      throw new IllegalArgumentException("serveNearWhenUnavailable: it needs nearCache, whose values are served");
    }
    if (!session) throw new IllegalArgumentException("nearCache: it needs session(true), which reports changes");
    List<String> kept = nearNamespaces.isEmpty() ? List.of(namespace) : nearNamespaces;
    return new NearCache(nearBytesMax, kept, nearWhenUnavailable, nearClock);
  }

  /** At most 256 bytes, as the contract requires. */
  private static String defaultHolder() {
    String host;
    try {
      host = InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException error) {
      host = "unknown";
    }
    return host.substring(0, Math.min(host.length(), 200)) + "/" + ProcessHandle.current().pid();
  }
}
