import type { ChannelOptions } from '@grpc/grpc-js';
import type { Surroundings } from './command.js';

/** As grpc-js looks for it. */
const VARIABLES = ['grpc_proxy', 'https_proxy', 'http_proxy'] as const;
const LOOPBACK = /^(?:dns:(?:\/\/[^/]*\/)?)?(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/;

/** Whether calls of a target of gRPC stay on this machine. */
export function staysHere(target: string): boolean {
  return target.startsWith('unix:') || LOOPBACK.test(target);
}

/** Whether an address may contain a password. Dibs takes none there. */
export function maybePassword(address: string): boolean {
  return address.includes('@') && !/^unix(?:-abstract)?:/.test(address);
}

/** A proxy cannot reach what listens on this machine only. */
export function proxyOptions(target: string): ChannelOptions {
  return LOOPBACK.test(target) ? { 'grpc.enable_http_proxy': 0 } : {};
}

/** ` through the proxy of https_proxy`, if calls of this target go through one; else empty. */
export function proxyNamed(target: string, env: Surroundings['env']): string {
  const name = VARIABLES.find((variable) => (env[variable] ?? '') !== '');
  return name === undefined || LOOPBACK.test(target) ? '' : ` through the proxy of ${name}`;
}
