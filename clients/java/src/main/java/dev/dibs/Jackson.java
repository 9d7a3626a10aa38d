package dev.dibs;

/** Checks that Jackson is on the class path; only {@link JsonCodec} uses it. */
final class Jackson {
  private static final String MAPPER = "com.fasterxml.jackson.databind.json.JsonMapper";

  private Jackson() {}

  /** Throws an error that says what to add to the build, instead of a missing class. */
  static void require() {
    try {
      Class.forName(MAPPER, false, Jackson.class.getClassLoader());
    } catch (ClassNotFoundException error) {
      throw new IllegalStateException(
          "JSON needs Jackson, which is missing: add com.fasterxml.jackson.core:jackson-databind 2.x to your build, or"
              + " give Options.of a Codec instead of a class",
          error);
    }
  }
}
