package dev.dibs;

/** The version of this client. */
final class Version {
  static final String TEXT = "0.1.0";

  /** As whom it calls; gRPC adds its own. */
  static final String USER_AGENT = "dibs-client-java/" + TEXT;

  private Version() {}
}
