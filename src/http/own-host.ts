import { isLoopback } from '../access/loopback.js';

/**
 * Whether a request names this machine, for a page that only this machine may see. A page of another site can have its
 * own name lead to 127.0.0.1 (DNS rebinding), and would then read ours as its own. Its requests still carry that name.
 * A request without the header comes from no browser.
 */
export function namesThisMachine(hostHeader: string | undefined, listenHost: string): boolean {
  if (hostHeader === undefined || !isLoopback(listenHost)) return true;
  const [, ipv6, name = ''] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(hostHeader) ?? [];
  const host = (ipv6 ?? name).toLowerCase();
  return isLoopback(host) || host === listenHost.toLowerCase();
}
