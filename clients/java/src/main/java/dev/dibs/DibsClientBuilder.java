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
import java.util.function.Supplier;

/** What a client may be told. Where it is told nothing, the environment is asked; an empty variable counts as none. */
public final class DibsClientBuilder {
  private final Destination destination;

  /** The longest rebuild that is still one; one that hangs holds its lease no longer. */
  private Duration leaseHoldMax = Duration.ofMinutes(10);

  private boolean session = true;
  private String namespace = "";
  private String holder;
  private OnUnavailable onUnavailable = OnUnavailable.REBUILD;
  private Hooks hooks = Hooks.NONE;
  private Executor executor = Threads.REBUILDS;
  private OpenTelemetry openTelemetry;
  private long nearBytesMax;
  private List<String> nearNamespaces = List.of();
  private boolean nearWhenUnavailable;

  DibsClientBuilder() {
    this(System.getenv());
  }

  DibsClientBuilder(Map<String, String> environment) {
    destination = new Destination(environment);
  }

  /**
   * Where the service is. Default: {@code DIBS_TARGET}, else {@code 127.0.0.1:50051}.
   *
   * @param address {@code HOST:PORT}, a list of those with commas between, {@code dns:///HOST:PORT} or {@code
   *     unix:///path}. Several addresses share the calls of this process: each key goes to one of them
   * @return this
   */
  public DibsClientBuilder target(String address) {
    destination.target = address;
    return this;
  }

  /**
   * The caller's token, sent as {@code authorization: Bearer}. Default: {@code DIBS_TOKEN}, else what
   * {@link #tokenFile} says.
   *
   * @param secret ASCII
   * @return this
   */
  public DibsClientBuilder token(String secret) {
    destination.token = secret;
    return this;
  }

  /**
   * The caller's token, if it changes: the function is called for each call and for each session.
   *
   * @param secret must not block for long; gives ASCII
   * @return this
   */
  public DibsClientBuilder token(Supplier<String> secret) {
    destination.tokenSource = Objects.requireNonNull(secret, "token");
    return this;
  }

  /**
   * The caller's token, in a file that is read again when it changes. Default: {@code DIBS_TOKEN_FILE}, else none.
   *
   * @param file with the token and nothing else
   * @return this
   */
  public DibsClientBuilder tokenFile(Path file) {
    destination.tokenFile = Objects.requireNonNull(file, "tokenFile");
    return this;
  }

  /**
   * Lets the token travel in clear to other machines. Default: false; without TLS it goes only to this machine itself.
   *
   * @param allowed true where the network is trusted
   * @return this
   */
  public DibsClientBuilder allowInsecureToken(boolean allowed) {
    destination.insecureToken = allowed;
    return this;
  }

  /**
   * The certificate of this process, for a service that asks for one; turns TLS on. Default: {@code DIBS_TLS_CERT} and
   * {@code DIBS_TLS_KEY}, else none. Both are read again for each connection, so that a renewed one needs no restart.
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
   * The authorities to trust; turns TLS on. Default: {@code DIBS_TLS_CA}, else no TLS.
   *
   * @param pem a file
   * @return this
   */
  public DibsClientBuilder tlsCa(Path pem) {
    destination.tlsCa = pem.toString();
    return this;
  }

  /**
   * How long a connection may take before the service counts as out of reach; once for all calls, not for each.
   * Default: 2 s.
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
   * All calls on one stream, with leases that end with this process. Default: true. Where a stream cannot be had,
   * calls still go one by one.
   *
   * @param wanted false for calls one by one
   * @return this
   */
  public DibsClientBuilder session(boolean wanted) {
    session = wanted;
    return this;
  }

  /**
   * How long one lease is extended in all. Then it counts as lost, whether the rebuild has ended or not. Default: 10
   * minutes.
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
   * Of calls that name none. Default: the service's {@code default}.
   *
   * @param name at most 64 of {@code [A-Za-z0-9_.-]}
   * @return this
   */
  public DibsClientBuilder namespace(String name) {
    namespace = Objects.requireNonNull(name, "namespace");
    return this;
  }

  /**
   * What this process is called in Explain and logs. Default: host name and process id.
   *
   * @param name at most 256 bytes
   * @return this
   */
  public DibsClientBuilder holder(String name) {
    holder = name;
    return this;
  }

  /**
   * What is done when the service cannot be reached. Default: {@link OnUnavailable#REBUILD}.
   *
   * @param choice not null
   * @return this
   */
  public DibsClientBuilder onUnavailable(OnUnavailable choice) {
    onUnavailable = Objects.requireNonNull(choice, "onUnavailable");
    return this;
  }

  /**
   * Hears what happens. Default: none.
   *
   * @param listener must not block
   * @return this
   */
  public DibsClientBuilder hooks(Hooks listener) {
    hooks = Objects.requireNonNull(listener, "hooks");
    return this;
  }

  /**
   * Where rebuilds run, and what follows a {@code getOrRebuildAsync}. Default: daemon threads, as many as there are
   * rebuilds at a time.
   *
   * @param threads must run a task while others of it wait; is not shut down by the client
   * @return this
   */
  public DibsClientBuilder executor(Executor threads) {
    executor = Objects.requireNonNull(threads, "executor");
    return this;
  }

  /**
   * Keeps fresh values in this process's memory, while the session tells what changes. It pays where the same keys are
   * read many times a second: a hit costs no call then. Default: none.
   *
   * @param bytesMax of values and keys; those that were used least are dropped
   * @param namespaces whose values are kept, at most 64; the client's own if none is named
   * @return this
   */
  public DibsClientBuilder nearCache(long bytesMax, String... namespaces) {
    if (bytesMax < 1) throw new IllegalArgumentException("nearCache: %d bytes are below 1".formatted(bytesMax));
    nearBytesMax = bytesMax;
    nearNamespaces = List.of(namespaces);
    return this;
  }

  /**
   * While the service cannot be reached, calls get what the near cache had before, as {@link Freshness#STALE}, for as
   * long as it would have been fresh. Default: false.
   *
   * @param wanted needs {@link #nearCache}
   * @return this
   */
  public DibsClientBuilder serveNearWhenUnavailable(boolean wanted) {
    nearWhenUnavailable = wanted;
    return this;
  }

  /**
   * What makes the spans of rebuilds, and counts. Default: the {@link io.opentelemetry.api.GlobalOpenTelemetry}, which does nothing
   * unless the application has set it.
   *
   * @param instance not null
   * @return this
   */
  public DibsClientBuilder openTelemetry(OpenTelemetry instance) {
    openTelemetry = Objects.requireNonNull(instance, "openTelemetry");
    return this;
  }

  /**
   * The client. It begins to connect; {@link DibsClient#ready} waits for that.
   *
   * @return to be closed
   * @throws IllegalArgumentException where the target cannot be read, or the token would travel in clear
   * @throws java.io.UncheckedIOException where a file that is named cannot be read
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
    var sessions = new SessionTransport.Shared(link, destination.connectTimeout, name, held, changes);
    return new DibsClient(
        link.channel(),
        new Parts(
            session ? new SessionOrUnary(new SessionPool(sessions), unary) : unary,
            link.connection(),
            safe,
            held,
            flights,
            unreadable,
            running,
            local,
            changes,
            new Availability(link.target(), local::serviceIsBack),
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
    if (!session) throw new IllegalArgumentException("nearCache: it needs session(true), which tells what changes");
    List<String> kept = nearNamespaces.isEmpty() ? List.of(namespace) : nearNamespaces;
    return new NearCache(nearBytesMax, kept, nearWhenUnavailable, System::nanoTime);
  }

  /** At most 256 bytes, as the contract says. */
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
