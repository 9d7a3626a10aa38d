import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

/**
 * Listens at `HOST:PORT` or `[IPV6]:PORT`, on one port. A name such as `localhost` may stand for several addresses, and
 * clients may try only one of them. So an address that cannot be listened at is a fault, unless this machine does not
 * have it: many have no `::1`. `listen` resolves to the actual port. Returns the address with that port.
 */
export async function atEachAddress(
  address: string,
  listen: (host: string, port: number) => Promise<number>,
): Promise<string> {
  const colon = address.lastIndexOf(':');
  const name = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  let port = Number(address.slice(colon + 1));
  let isListening = false;
  let missing: unknown = new Error('the name has no address');
  for (const host of await hostsOf(name)) {
    try {
      // Port 0 takes a free one, at the first address.
      port = await listen(host, port);
      isListening = true;
    } catch (error) {
      if (!isMissing(error)) throw error;
      missing = error;
    }
  }
  if (!isListening) throw missing;
  return `${address.slice(0, colon)}:${port}`;
}

async function hostsOf(name: string): Promise<ReadonlySet<string>> {
  if (isIP(name) !== 0) return new Set([name]);
  return new Set((await lookup(name, { all: true })).map(({ address }) => address));
}

/** By its text, because grpc-js keeps no code. */
function isMissing(error: unknown): boolean {
  return error instanceof Error && /EADDRNOTAVAIL|EAFNOSUPPORT/.test(error.message);
}
