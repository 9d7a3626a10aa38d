package dev.dibs;

/** The contract's enum values in the words of this package, which leave out the enum's name. */
final class Words {
  private Words() {}

  /** The value of the same name; {@code unknown} if there is none, as for one that a later service has. */
  static <E extends Enum<E>> E of(Enum<?> wire, String prefix, E unknown) {
    for (E word : unknown.getDeclaringClass().getEnumConstants()) {
      if (wire.name().equals(prefix + word.name())) return word;
    }
    return unknown;
  }
}
