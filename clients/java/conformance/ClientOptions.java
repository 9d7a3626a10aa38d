package dev.dibs.conformance;

import static dev.dibs.conformance.Fields.has;
import static dev.dibs.conformance.Fields.is;
import static dev.dibs.conformance.Fields.text;
import static dev.dibs.conformance.Fields.time;
import static dev.dibs.conformance.Fields.word;

import com.google.gson.JsonObject;
import dev.dibs.DibsClient;
import dev.dibs.DibsClientBuilder;
import dev.dibs.OnUnavailable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The options of a client in a scenario. */
final class ClientOptions {
  private static final long NEAR_BYTES = 16 << 20;

  private ClientOptions() {}

  static DibsClientBuilder builder(JsonObject fields) {
    DibsClientBuilder builder = DibsClient.builder().target(text(fields, "target"));
    if (has(fields, "namespace")) builder.namespace(text(fields, "namespace"));
    if (has(fields, "holder")) builder.holder(text(fields, "holder"));
    if (has(fields, "session")) builder.session(fields.get("session").getAsBoolean());
    if (has(fields, "on_unavailable")) builder.onUnavailable(word(fields, "on_unavailable", OnUnavailable::valueOf));
    if (has(fields, "connect_ms")) builder.connectTimeout(time(fields, "connect_ms"));
    if (has(fields, "lease_hold_max_ms")) builder.leaseHoldMax(time(fields, "lease_hold_max_ms"));
    if (is(fields, "key_affinity")) builder.keyAffinity(true);
    if (is(fields, "near_cache")) builder.nearCache(NEAR_BYTES);
    if (is(fields, "serve_near_when_unavailable")) builder.serveNearWhenUnavailable(true);
    identify(builder, fields);
    return builder;
  }

  private static void identify(DibsClientBuilder builder, JsonObject fields) {
    if (has(fields, "token")) builder.token(text(fields, "token"));
    if (has(fields, "token_file")) builder.tokenFile(Path.of(text(fields, "token_file")));
    if (has(fields, "token_function")) builder.token(() -> read(Path.of(text(fields, "token_function"))));
    if (is(fields, "allow_insecure_token")) builder.allowInsecureToken(true);
    if (has(fields, "tls_ca")) builder.tlsCa(Path.of(text(fields, "tls_ca")));
    if (has(fields, "tls_cert")) {
      builder.tlsCertificate(Path.of(text(fields, "tls_cert")), Path.of(text(fields, "tls_key")));
    }
  }

  private static String read(Path file) {
    try {
      return Files.readString(file).strip();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
