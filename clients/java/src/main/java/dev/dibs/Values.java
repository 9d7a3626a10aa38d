package dev.dibs;

import com.google.protobuf.ByteString;

/** Converts values between the codec's type and bytes. */
final class Values {
  private Values() {}

  /** Null for null. */
  static <V> ByteString encoded(Options<V> options, V value) {
    if (value == null) return null;
    byte[] bytes = options.codec().encode(value);
    if (bytes == null) throw new NullPointerException("the codec's encode returned null: return bytes");
    return ByteString.copyFrom(bytes);
  }

  /** Null if the source has nothing. */
  static <V> V decoded(Options<V> options, Found found) {
    return found.bytes() == null ? null : options.codec().decode(found.bytes().toByteArray());
  }
}
