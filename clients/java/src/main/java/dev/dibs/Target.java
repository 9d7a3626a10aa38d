package dev.dibs;

import io.grpc.NameResolverRegistry;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The address of the service. A malformed target is an error when the client is created, not a service that is never
 * reached.
 *
 * @param text as it was given, without a password
 * @param uri as gRPC wants it
 * @param isLocal no other machine hears what is sent
 * @param isSocket a Unix socket, which has no host name
 */
record Target(String text, String uri, boolean isLocal, boolean isSocket) {
  private static final Pattern SCHEME = Pattern.compile("([A-Za-z][A-Za-z0-9+.-]*):///?(.*)");
  private static final Pattern HOST_PORT =
      Pattern.compile("(\\[[0-9A-Fa-f:.%]+\\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?):(\\d{1,5})");
  private static final Pattern LOOPBACK = Pattern.compile("localhost|127\\.\\d+\\.\\d+\\.\\d+|\\[::1\\]");
  private static final String FORMS = "write HOST:PORT, HOST:PORT,HOST:PORT, unix:///path or dns:///HOST:PORT";
  private static final int PORT_MAX = 65_535;

  static Target of(String text) {
    if (text.startsWith("unix:")) return socket(text);
    Matcher named = SCHEME.matcher(text);
    if (text.contains("@") && !(named.matches() && isOther(named.group(1)))) {
      // A password, perhaps, so the target is not repeated.
      throw new IllegalArgumentException("target or DIBS_TARGET: has a user or a password, or another @; " + FORMS);
    }
    if (text.contains(",") && !text.contains("/")) return list(text);
    if (!named.matches()) return new Target(text, text, isLoopback(text, text), false);
    String scheme = named.group(1);
    if (scheme.equals("dns")) {
      return new Target(text, text, isLoopback(text, text.substring(text.lastIndexOf('/') + 1)), false);
    }
    if (!isOther(scheme)) throw broken(text, "this process has no resolver for \"%s\"".formatted(scheme));
    // Its resolver may take a user and a password.
    String shown = text.replaceFirst("(?s)://.*@", "://***@");
    return new Target(shown, text, false, false);
  }

  /** An application may have its own resolvers, such as xds. */
  private static boolean isOther(String scheme) {
    return !scheme.equals("dns")
        && NameResolverRegistry.getDefaultRegistry().getProviderForScheme(scheme) != null;
  }

  private static Target list(String text) {
    boolean isLocal = true;
    // The last part may be empty, which is a typo.
    List<String> all = List.of(text.split(",", -1));
    for (String one : all) isLocal &= isLoopback(text, one);
    List<String> distinct = all.stream().distinct().toList();
    String uri = distinct.size() == 1 ? distinct.get(0) : AddressList.uri(String.join(",", distinct));
    return new Target(text, uri, isLocal, false);
  }

  private static Target socket(String text) {
    String path = text.substring("unix:".length()).replaceFirst("^//(?=/)", "");
    if (!path.matches("/[^/].*")) throw broken(text, "a Unix socket needs an absolute path");
    return new Target(text, "unix://" + path, true, true);
  }

  private static boolean isLoopback(String text, String hostAndPort) {
    Matcher parts = HOST_PORT.matcher(hostAndPort);
    if (!parts.matches()) throw broken(text, "it is not HOST:PORT");
    int port = Integer.parseInt(parts.group(2));
    if (port < 1 || port > PORT_MAX) throw broken(text, "port %d is outside 1 to %d".formatted(port, PORT_MAX));
    return LOOPBACK.matcher(parts.group(1)).matches();
  }

  private static IllegalArgumentException broken(String text, String why) {
    return new IllegalArgumentException(
        "target or DIBS_TARGET: \"%s\" cannot be read: %s; %s".formatted(text, why, FORMS));
  }
}
