import { lookup } from 'node:dns/promises';
import { isList } from './address-list.js';

/** How many addresses a gRPC target stands for; 1 where that cannot be told. */
export async function countAddresses(target: string): Promise<number> {
  if (isList(target)) {
    const counts = await Promise.all(target.split(',').map(countAddresses));
    return counts.reduce((sum, count) => sum + count, 0);
  }
  const [scheme, rest] = schemeOf(target);
  if (scheme === 'ipv4' || scheme === 'ipv6') return rest.split(',').length;
  if (scheme !== 'dns') return 1;
  // dns:///host:port, dns://authority/host:port, dns:host:port and host:port.
  const endpoint = rest.startsWith('//') ? rest.slice(rest.indexOf('/', 2) + 1) : rest;
  const host = endpoint.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  try {
    return Math.max(1, (await lookup(host, { all: true })).length);
  } catch {
    return 1;
  }
}

/** A target without a scheme is a name. */
function schemeOf(target: string): [string, string] {
  const match = /^(dns|unix|unix-abstract|ipv4|ipv6):(.*)$/s.exec(target);
  return match === null ? ['dns', target] : [match[1] ?? '', match[2] ?? ''];
}
