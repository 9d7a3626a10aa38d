/** Connections over Unix sockets have no address. They all come from this machine. */
const LOCAL = 'a Unix socket';

/**
 * The name under which an address has its share. For IPv6 that is its network of 64 bits, because one machine may use
 * all addresses of it.
 */
export function peerOf(address: string | undefined): string {
  if (address === undefined) return LOCAL;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const between =
    tail === undefined ? [] : Array<string>(Math.max(0, 8 - first.length - last.length)).fill('0');
  const network = [...first, ...between, ...last].slice(0, 4).map((group) => group.replace(/^0+(?=.)/, ''));
  return `${network.join(':').toLowerCase()}::/64`;
}
