import { experimental } from '@grpc/grpc-js';
import { INCOMPLETE } from './patient-balancer.js';
import { isList } from './scheme.js';

const SCHEME = 'dibs-list';

type Found = Parameters<experimental.ResolverListener>[0];

/** A target in the form that gRPC takes. gRPC has lists of IP addresses; this module adds lists of names. */
export function grpcTargetOf(target: string): string {
  return isList(target) ? `${SCHEME}:${target}` : target;
}

interface Member {
  readonly resolver: experimental.Resolver;
  /** The last addresses, or why there never were any. */
  found: Found | undefined;
}

/** The addresses of all names of a list. Skips a name that cannot be resolved, unless none can be. */
class ListResolver implements experimental.Resolver {
  readonly #members: readonly Member[];

  constructor(
    { path }: experimental.GrpcUri,
    private readonly listener: experimental.ResolverListener,
    options: Parameters<typeof experimental.createResolver>[2],
  ) {
    this.#members = path.split(',').map((address) => {
      const heard = (found: Found) => {
        if (found.ok || member.found?.ok !== true) member.found = found;
        return this.#tell();
      };
      const resolver = experimental.createResolver({ scheme: 'dns', path: address }, heard, options);
      const member: Member = { resolver, found: undefined };
      return member;
    });
  }

  updateResolution(): void {
    for (const { resolver } of this.#members) resolver.updateResolution();
  }

  destroy(): void {
    for (const { resolver } of this.#members) resolver.destroy();
  }

  static getDefaultAuthority({ path }: experimental.GrpcUri): string {
    return path.split(',')[0] ?? '';
  }

  /** True if gRPC accepts the addresses, and if there are none to report yet. */
  #tell(): boolean {
    const all = this.#members.map(({ found }) => found);
    const endpoints = all.flatMap((found) => (found?.ok === true ? found.value : []));
    const isIncomplete = all.includes(undefined);
    if (endpoints.length > 0) {
      const known = experimental.statusOrFromValue(endpoints);
      return this.listener(known, { [INCOMPLETE]: isIncomplete }, null, '');
    }
    const failed = all.find((found) => found !== undefined);
    if (failed === undefined || isIncomplete) return true;
    return this.listener(failed, {}, null, '');
  }
}

experimental.registerResolver(SCHEME, ListResolver);
