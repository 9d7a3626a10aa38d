import type { Http2Server } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

/**
 * The HTTP/2 servers of a bound gRPC server. grpc-js keeps them private, and only they know connections and streams. Its
 * version is pinned, and `door.test.ts` fails with one that keeps them elsewhere.
 */
export function http2ServersOf(server: Server): readonly Http2Server[] {
  const { http2Servers } = server as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> };
  if (!(http2Servers instanceof Map)) throw new Error('grpc-js no longer has http2Servers');
  return [...http2Servers.keys()];
}
