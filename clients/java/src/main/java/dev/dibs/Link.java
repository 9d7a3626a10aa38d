package dev.dibs;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** The one channel of a client, and what every call on it carries. */
final class Link {
  private final String target;
  private final ManagedChannel managed;
  private final Channel channel;
  private final Connection connection;

  /**
   * Opens the channel and starts to connect, so that the first call does not have to. {@code token} is null for none.
   */
  Link(Target target, Token token, Tls tls, Duration connectTimeout) {
    ManagedChannelBuilder<?> builder =
        Grpc.newChannelBuilder(target.uri(), tls.credentials())
            // A connection that died silently is detected within 15 s, and its calls end.
            .keepAliveTime(10, TimeUnit.SECONDS)
            .keepAliveTimeout(5, TimeUnit.SECONDS)
            // The service limits the size of values.
            .maxInboundMessageSize(Integer.MAX_VALUE)
            // Only the layer above knows which calls may be repeated.
            .disableRetry()
            .userAgent(Version.USER_AGENT)
            .defaultLoadBalancingPolicy(AddressBalancer.policy());
    // A path is not a host name, and servers refuse it as one.
    if (target.isSocket()) builder.overrideAuthority("localhost");
    this.target = target.text();
    managed = builder.build();
    channel = token == null ? managed : ClientInterceptors.intercept(managed, new WithToken(token));
    connection = new Connection(managed, target.text(), connectTimeout);
    connection.watch();
    managed.getState(true);
  }

  private record WithToken(Token token) implements ClientInterceptor {
    @Override
    public <Q, R> ClientCall<Q, R> interceptCall(
        MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
      return next.newCall(method, options.withCallCredentials(token));
    }
  }

  /** As it was given. */
  String target() {
    return target;
  }

  Channel channel() {
    return channel;
  }

  Connection connection() {
    return connection;
  }

  void close() {
    managed.shutdown();
  }

  static ClientInterceptor attach(Metadata.Key<String> key, String value) {
    Metadata headers = new Metadata();
    headers.put(key, value);
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }
}
