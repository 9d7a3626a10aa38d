package dev.dibs;

import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** The one channel of a client, and what every call on it carries. */
final class Link {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final ManagedChannel managed;
  private final Channel channel;
  private final Connection connection;

  /**
   * Opens the channel.
   *
   * @param target {@code HOST:PORT}, {@code unix:///path} or {@code dns:///HOST:PORT}
   * @param token sent as {@code authorization: Bearer}; empty for none
   * @param tlsCa path of a PEM file; empty for no TLS
   */
  Link(String target, String token, String tlsCa, Duration connectTimeout) {
    managed =
        Grpc.newChannelBuilder(target, credentials(tlsCa))
            // A link that died without a word is found within 15 s, and the calls on it end.
            .keepAliveTime(10, TimeUnit.SECONDS)
            .keepAliveTimeout(5, TimeUnit.SECONDS)
            // The service bounds the values.
            .maxInboundMessageSize(Integer.MAX_VALUE)
            // What may be sent again is known one storey up.
            .disableRetry()
            .defaultLoadBalancingPolicy("round_robin")
            .build();
    ClientInterceptor bearer = attach(AUTHORIZATION, "Bearer " + token);
    channel = token.isEmpty() ? managed : ClientInterceptors.intercept(managed, bearer);
    connection = new Connection(managed, target, connectTimeout);
    connection.watch();
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

  private static ChannelCredentials credentials(String tlsCa) {
    if (tlsCa.isEmpty()) return InsecureChannelCredentials.create();
    try {
      return TlsChannelCredentials.newBuilder().trustManager(Path.of(tlsCa).toFile()).build();
    } catch (IOException error) {
      throw new UncheckedIOException("the authorities of tlsCa or DIBS_TLS_CA cannot be read: " + tlsCa, error);
    }
  }
}
