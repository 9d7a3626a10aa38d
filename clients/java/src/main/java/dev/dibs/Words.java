package dev.dibs;

/** Converts the contract's enum values to those of this package, which omit the enum's name. */
final class Words {
  private Words() {}

  /** The value of the same name; {@code unknown} if there is none, for example for a later service. */
  static <E extends Enum<E>> E of(Enum<?> wire, String prefix, E unknown) {
    for (E word : unknown.getDeclaringClass().getEnumConstants()) {
      if (wire.name().equals(prefix + word.name())) return word;
    }
    return unknown;
  }
}
