package dev.dibs;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.charset.StandardCharsets;

/**
 * Chooses the replica of a key: rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit
 * rates", 1998). Clients in all languages compute the same, so with key affinity a key has one replica in the whole
 * fleet.
 */
final class KeyShare {
  private static final int IPV6_GROUPS = 8;

  private KeyShare() {}

  /** FNV-1a with 32 bits, over the string's UTF-8. */
  static int hashOf(String text) {
    int hash = 0x811c9dc5;
    for (byte unit : text.getBytes(StandardCharsets.UTF_8)) hash = (hash ^ (unit & 0xff)) * 0x01000193;
    return hash;
  }

  /**
   * The replica with the highest rank has the key; ranks are never negative.
   *
   * @param seed the hash of its address, such as {@code 10.0.0.1:50051}
   */
  static long rankOf(int keyHash, int seed) {
    // The final step of MurmurHash3, which makes every bit count.
    int mixed = keyHash ^ seed;
    mixed = (mixed ^ (mixed >>> 16)) * 0x85ebca6b;
    mixed = (mixed ^ (mixed >>> 13)) * 0xc2b2ae35;
    return Integer.toUnsignedLong(mixed ^ (mixed >>> 16));
  }

  /** In the same format in all clients: {@code 10.0.0.1:50051}, {@code [fd00::1]:50051}. */
  static String textOf(SocketAddress address) {
    if (!(address instanceof InetSocketAddress internet) || internet.isUnresolved()) return address.toString();
    byte[] bytes = internet.getAddress().getAddress();
    String ip = bytes.length == 4 ? internet.getAddress().getHostAddress() : "[" + ipv6(bytes) + "]";
    return ip + ":" + internet.getPort();
  }

  /** Omits the longest run of zeros, which Java writes out. */
  private static String ipv6(byte[] bytes) {
    int[] groups = new int[IPV6_GROUPS];
    for (int at = 0; at < IPV6_GROUPS; at += 1) groups[at] = (bytes[2 * at] & 0xff) << 8 | bytes[2 * at + 1] & 0xff;
    int from = 0;
    int longest = 1;
    for (int at = 0; at < IPV6_GROUPS; at += 1) {
      int to = at;
      while (to < IPV6_GROUPS && groups[to] == 0) to += 1;
      if (to - at <= longest) continue;
      from = at;
      longest = to - at;
    }
    if (longest < 2) return joined(groups, 0, IPV6_GROUPS);
    return joined(groups, 0, from) + "::" + joined(groups, from + longest, IPV6_GROUPS);
  }

  private static String joined(int[] groups, int from, int to) {
    StringBuilder text = new StringBuilder();
    for (int at = from; at < to; at += 1) text.append(at == from ? "" : ":").append(Integer.toHexString(groups[at]));
    return text.toString();
  }
}
