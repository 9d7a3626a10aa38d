package dev.dibs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which of several replicas has a key. */
final class KeyShareTest {
  private static final List<String> ADDRESSES =
      List.of("10.0.0.1:50051", "10.0.0.2:50051", "10.0.0.3:50051", "[fd00::1]:50051");

  /** Which of the addresses has the key. */
  private static int shareOf(String key, List<String> addresses) {
    int has = 0;
    long highest = -1;
    for (int at = 0; at < addresses.size(); at += 1) {
      long rank = KeyShare.rankOf(KeyShare.hashOf(key), KeyShare.hashOf(addresses.get(at)));
      if (rank <= highest) continue;
      has = at;
      highest = rank;
    }
    return has;
  }

  /** The clients of all languages have this table: they must agree. */
  @ParameterizedTest
  @CsvSource({
    "user:42, 3",
    "user:43, 0",
    "user:48, 2",
    "user:41, 1",
    "'', 3",
    "a, 3",
    "product:1, 1",
    "größe, 3",
    "価格, 0",
    "page:/en/index.html, 1"
  })
  void givesAKeyToTheReplicaThatEveryClientGivesItTo(String key, int at) {
    assertEquals(at, shareOf(key, ADDRESSES));
  }

  @Test
  void givesEachReplicaItsShareAndMovesOnlyTheKeysOfOneThatGoes() {
    int[] counts = new int[ADDRESSES.size()];
    for (int at = 0; at < 10_000; at += 1) {
      int has = shareOf("key " + at, ADDRESSES);
      counts[has] += 1;
      assertTrue(has == 0 || shareOf("key " + at, ADDRESSES.subList(1, 4)) == has - 1);
    }
    assertTrue(IntStream.of(counts).allMatch(count -> count > 2_300));
  }

  @ParameterizedTest
  @CsvSource({
    "10.0.0.1, 10.0.0.1:1",
    "fd00:0:0:0:0:0:0:1, [fd00::1]:1",
    "FD00:0:1:0:0:0:0:A, [fd00:0:1::a]:1",
    "0:0:0:0:0:0:0:0, [::]:1",
    "0:0:0:0:0:0:0:1, [::1]:1",
    "1:0:0:0:0:0:0:0, [1::]:1",
    "1:0:2:0:3:0:4:0, [1:0:2:0:3:0:4:0]:1",
    "1:0:0:2:3:0:0:4, [1::2:3:0:0:4]:1"
  })
  void writesAnAddressAsAllClientsDo(String ip, String text) throws Exception {
    assertEquals(text, KeyShare.textOf(new InetSocketAddress(InetAddress.getByName(ip), 1)));
  }
}
