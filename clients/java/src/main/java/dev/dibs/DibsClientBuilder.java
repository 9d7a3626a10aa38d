package dev.dibs;

import com.google.protobuf.ByteString;
import io.opentelemetry.api.OpenTelemetry;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Executor;

/** What a client may be told. Where it is told nothing, the environment is asked; an empty variable counts as none. */
public final class DibsClientBuilder {
  private static final String TARGET = "127.0.0.1:50051";

  private final Map<String, String> environment;
  private String target;
  private String token;
  private String tlsCa;

  /** TCP repeats the first packet that is lost after one second. */
  private Duration connectTimeout = Duration.ofSeconds(2);

  private boolean session = true;
  private String namespace = "";
  private String holder;
  private OnUnavailable onUnavailable = OnUnavailable.REBUILD;
  private Hooks hooks = Hooks.NONE;
  private Executor executor = Threads.REBUILDS;
  private OpenTelemetry openTelemetry;

  DibsClientBuilder() {
    this(System.getenv());
  }

  DibsClientBuilder(Map<String, String> environment) {
    this.environment = environment;
  }

  /**
   * Where the service is. Default: {@code DIBS_TARGET}, else {@code 127.0.0.1:50051}.
   *
   * @param address {@code HOST:PORT}, {@code unix:///path} or {@code dns:///HOST:PORT}, whose addresses take turns
   * @return this
   */
  public DibsClientBuilder target(String address) {
    target = address;
    return this;
  }

  /**
   * Who calls, sent as {@code authorization: Bearer}. Default: {@code DIBS_TOKEN}, else none.
   *
   * @param secret ASCII
   * @return this
   */
  public DibsClientBuilder token(String secret) {
    token = secret;
    return this;
  }

  /**
   * The authorities to trust; turns TLS on. Default: {@code DIBS_TLS_CA}, else no TLS.
   *
   * @param pem a file
   * @return this
   */
  public DibsClientBuilder tlsCa(Path pem) {
    tlsCa = pem.toString();
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
    connectTimeout = Objects.requireNonNull(duration, "connectTimeout");
    return this;
  }

  /**
   * All calls on one stream, with leases that end with this process. Default: true. Where a stream cannot be had,
   * calls go one by one all the same.
   *
   * @param wanted false for calls one by one
   * @return this
   */
  public DibsClientBuilder session(boolean wanted) {
    session = wanted;
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
   * Who hears what happens. Default: nobody.
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
   * Who makes the spans of rebuilds. Default: the {@link io.opentelemetry.api.GlobalOpenTelemetry}, which does nothing
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
   * The client. It connects with its first call.
   *
   * @return to be closed
   * @throws java.io.UncheckedIOException where the authorities to trust cannot be read
   */
  public DibsClient build() {
    Link link =
        new Link(
            target == null ? variable("DIBS_TARGET", TARGET) : target,
            token == null ? variable("DIBS_TOKEN", "") : token,
            tlsCa == null ? variable("DIBS_TLS_CA", "") : tlsCa,
            connectTimeout);
    String name = holder == null ? defaultHolder() : holder;
    HeldLeases held = new HeldLeases();
    Transport unary = new UnaryTransport(link);
    Transport transport =
        session ? new SessionOrUnary(new SessionTransport(link, connectTimeout, name, held), unary) : unary;
    Flights<ByteString> local = new Flights<>();
    Tracing tracing = new Tracing(openTelemetry);
    return new DibsClient(
        link,
        new Parts(transport, new SafeHooks(hooks), held, local, executor, tracing, namespace, name, onUnavailable));
  }

  private String variable(String name, String otherwise) {
    String value = environment.getOrDefault(name, "");
    return value.isEmpty() ? otherwise : value;
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
