package dev.dibs;

import com.google.protobuf.ByteString;

/**
 * What a call came to.
 *
 * @param bytes null where the source has nothing
 * @param isOwn made by this call's own rebuild, with its own codec
 */
record Found(ByteString bytes, boolean isOwn) {}
