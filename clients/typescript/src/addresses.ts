import { lookup } from 'node:dns/promises';
import { isList, schemeOf } from './scheme.js';

/** How many addresses a gRPC target stands for; 1 if that is unknown. */
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
