package dev.dibs;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.function.Supplier;

/** Where and as whom to call: what the caller says, else what the environment says. Null is what nothing was said of. */
final class Destination {
  private static final String TARGET = "127.0.0.1:50051";

  private final Map<String, String> environment;
  String target;
  String token;
  Supplier<String> tokenSource;
  Path tokenFile;
  boolean insecureToken;
  String tlsCa;
  String tlsCert;
  String tlsKey;

  /** TCP repeats the first packet that is lost after one second. */
  Duration connectTimeout = Duration.ofSeconds(2);

  Destination(Map<String, String> environment) {
    this.environment = environment;
  }

  /** Refuses what cannot be read, and a token that would travel in clear. */
  Link link() {
    Target where = Target.of(target == null ? variable("DIBS_TARGET", TARGET) : target);
    Tls tls =
        new Tls(
            tlsCa == null ? variable("DIBS_TLS_CA", "") : tlsCa,
            tlsCert == null ? variable("DIBS_TLS_CERT", "") : tlsCert,
            tlsKey == null ? variable("DIBS_TLS_KEY", "") : tlsKey);
    Token who = who();
    if (who != null && !tls.isOn() && !where.isLocal() && !insecureToken) {
      throw new IllegalArgumentException(
          "token or DIBS_TOKEN would travel in clear to %s: set tlsCa (DIBS_TLS_CA), or allowInsecureToken(true) where"
                  .formatted(where.text())
              + " the network is trusted");
    }
    return new Link(where, who, tls, connectTimeout);
  }

  /** What the caller says of its token is not mixed with what the environment says. */
  private Token who() {
    if (tokenSource != null) return Token.of(tokenSource);
    if (tokenFile != null) return Token.in(tokenFile);
    if (token != null) return Token.of(token);
    Token known = Token.of(variable("DIBS_TOKEN", ""));
    String file = variable("DIBS_TOKEN_FILE", "");
    return known != null || file.isEmpty() ? known : Token.in(Path.of(file));
  }

  private String variable(String name, String otherwise) {
    String value = environment.getOrDefault(name, "");
    return value.isEmpty() ? otherwise : value;
  }
}
