package dev.dibs;

/** Whether the application has Jackson, which only {@link JsonCodec} knows. */
final class Jackson {
  private static final String MAPPER = "com.fasterxml.jackson.databind.json.JsonMapper";

  private Jackson() {}

  /** Says what to add to the build, where the codec would end with a class that cannot be found. */
  static void require() {
    try {
      Class.forName(MAPPER, false, Jackson.class.getClassLoader());
    } catch (ClassNotFoundException error) {
      throw new IllegalStateException(
          "JSON needs Jackson, which is not there: add com.fasterxml.jackson.core:jackson-databind 2.x to your build, or"
              + " give Options.of a Codec instead of a class",
          error);
    }
  }
}
