package dev.dibs;

import com.google.protobuf.ByteString;

/**
 * What a call came to.
 *
 * @param bytes null if the source has no value
 * @param isOwn made by this call's own rebuild, with its own codec
 * @param freshness of the value; a rebuild's is fresh
 */
record Found(ByteString bytes, boolean isOwn, Freshness freshness) {
  /** A fresh one. */
  Found(ByteString bytes, boolean isOwn) {
    this(bytes, isOwn, Freshness.FRESH);
  }
}
