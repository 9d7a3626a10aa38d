import { isIPv4, isIPv6 } from 'node:net';
import { DibsError } from './errors.js';
import { isList, schemeOf } from './scheme.js';

interface Endpoint {
  readonly host: string;
  readonly port: string | undefined;
}

const FORMS =
  'HOST:PORT, HOST:PORT,HOST:PORT, dns:///HOST:PORT, ipv4:A:PORT,B:PORT, ipv6:[A]:PORT or unix:///path';

/**
 * Throws for an invalid target, so that a client does not rebuild everything by itself because of a typo. Names are not
 * looked up.
 */
export function checkTarget(target: string): void {
  if (target.includes('@') && !isPath(target)) {
    // A password, perhaps, so the target is not repeated.
    throw new DibsError('INVALID_ARGUMENT', `target: has a user or a password, or another @; set ${FORMS}`);
  }
  const endpoints = endpointsOf(target);
  const isRight = endpoints !== undefined && endpoints.length > 0 && endpoints.every(isEndpoint);
  if (!isRight) throw new DibsError('INVALID_ARGUMENT', `target: "${target}" is not one of ${FORMS}`);
}

/** Whether traffic to it stays on this machine. */
export function staysHere(target: string): boolean {
  if (isPath(target)) return true;
  return (endpointsOf(target) ?? []).every(
    ({ host }) => host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.')),
  );
}

/** Not a machine whose name begins with `unix`. */
function isPath(target: string): boolean {
  return schemeOf(target)[0].startsWith('unix');
}

/** An empty list for a path; undefined if it is invalid. */
function endpointsOf(target: string): Endpoint[] | undefined {
  if (isList(target)) {
    const listed = target.split(',').map(endpointOf);
    return listed.every((one) => one?.port !== undefined) ? (listed as Endpoint[]) : undefined;
  }
  const [scheme, rest] = schemeOf(target);
  if (scheme.startsWith('unix')) {
    const path = rest.replace(/^\/\/(?=\/)/, '');
    return path === '' || path.startsWith('//') ? undefined : [{ host: 'localhost', port: '1' }];
  }
  if (scheme === 'dns') {
    // dns:///host:port, dns://authority/host:port, dns:host:port, and host:port without a scheme.
    const endpoint = rest === target || !rest.startsWith('//') ? rest : rest.slice(rest.indexOf('/', 2) + 1);
    const parsed = endpointOf(endpoint);
    // With a scheme, gRPC has a default port. Without one, the port was forgotten.
    if (parsed?.port === undefined && rest === target) return undefined;
    return parsed && [parsed];
  }
  const isAddress = scheme === 'ipv4' ? isIPv4 : isIPv6;
  const all = rest.split(',').map(endpointOf);
  return all.every((one) => one !== undefined && isAddress(one.host)) ? (all as Endpoint[]) : undefined;
}

function endpointOf(text: string): Endpoint | undefined {
  const [, bracketed, bare, port] = /^(?:\[([^\]]*)\]|([^:[\]/\s]*))(?::(.*))?$/s.exec(text) ?? [];
  const host = bracketed ?? bare;
  if (host === undefined || host === '' || (bracketed !== undefined && !isIPv6(bracketed))) return undefined;
  return { host, port };
}

function isEndpoint({ port }: Endpoint): boolean {
  if (port === undefined) return true;
  return /^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535;
}
