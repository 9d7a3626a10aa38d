import { readFileSync } from 'node:fs';
import {
  type ChannelCredentials,
  type ClientOptions,
  credentials,
  InterceptingCall,
  type Interceptor,
} from '@grpc/grpc-js';

/** What a caller shows of itself, and by what it knows the service; certificates are paths of PEM files. */
export interface ShownBy {
  readonly token?: string;
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string };
}

/** A channel of its own each: two callers of one test process are two connections. */
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
