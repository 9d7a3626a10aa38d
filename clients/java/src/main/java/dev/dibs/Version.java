package dev.dibs;

/** The version of this client. */
final class Version {
  static final String TEXT = "0.1.0";

  /** The user agent; gRPC appends its own. */
  static final String USER_AGENT = "dibs-client-java/" + TEXT;

  private Version() {}
}
