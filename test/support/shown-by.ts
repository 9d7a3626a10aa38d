import { readFileSync } from 'node:fs';
import {
  type ChannelCredentials,
  type ClientOptions,
  credentials,
  InterceptingCall,
  type Interceptor,
} from '@grpc/grpc-js';

/** How a caller identifies itself, and how it verifies the service. Certificates are paths of PEM files. */
export interface ShownBy {
  readonly token?: string;
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string };
}

/** The arguments of a channel that is not shared: two callers of one test process have two connections. */
export function channelOf({ token, tls }: ShownBy): [ChannelCredentials, ClientOptions] {
  const bytes = (path: string | undefined) => (path === undefined ? null : readFileSync(path));
  const security =
    tls === undefined
      ? credentials.createInsecure()
      : credentials.createSsl(bytes(tls.ca), bytes(tls.key), bytes(tls.cert));
  const interceptors = token === undefined ? [] : [bearer(token)];
  return [security, { interceptors, 'grpc.use_local_subchannel_pool': 1 }];
}

function bearer(token: string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        metadata.set('authorization', `Bearer ${token}`);
        next(metadata, listener);
      },
    });
}
