import { Access } from './access/access.js';
import type { Config } from './config/config.js';
import { watchIdentities, watchTls } from './config/reloads.js';
import type { TlsMaterial } from './config/tls-files.js';
import type { Clock } from './coordination/ports/clock.js';
import type { GrpcServer } from './grpc/server.js';
import { HTTP_CONNECTIONS_MAX } from './http/connections.js';
import { authorizeBy } from './http/page-guard.js';
import { HttpServer, type HttpServerOptions } from './http/server.js';
import { connectionsWithin, openFilesMaxOf } from './open-files.js';
import { ServedCertificates } from './served-certificates.js';
import { auditLog } from './telemetry/audit-log.js';
import { LOG } from './telemetry/log-texts.js';
import type { Logger } from './telemetry/logger.js';
import type { Metrics } from './telemetry/metrics.js';

/** More than a person reads, for the console's filter. It counts the others. */
export const SHOWN_MAX = 500;

/** What one replica knows for the pages. */
export type PagesPart = Pick<HttpServerOptions, 'ready' | 'started' | 'scrape' | 'consoleState'>;

/** Serves the pages at DIBS_HTTP_LISTEN. */
export function bindPages(
  { httpListen, httpIsPrivate: isPrivate, tls }: Config,
  parts: PagesPart &
    Pick<HttpServerOptions, 'clock' | 'connectionsMax' | 'connectionRefused'> & {
      readonly access: Access | undefined;
    },
): Promise<HttpServer> {
  const { access, ...others } = parts;
  const material = tls?.material;
  const authorize = authorizeBy({ tls: material, access, isPrivate });
  return HttpServer.bind({ ...httpListen, ...others, authorize, tls: material });
}

/** How many connections there may be. Those that are refused are counted and logged. */
export function sharesOf({ connectionsMax }: Config, log: Logger, metrics: Metrics) {
  const wanted = { grpc: connectionsMax, http: HTTP_CONNECTIONS_MAX };
  const { grpc, http } = connectionsWithin(wanted, openFilesMaxOf(process.report));
  const refused = (protocol: 'grpc' | 'http') => {
    return (address: string, why: 'share' | 'connections' | 'calls' | 'requests') => {
      metrics.connectionRefused(protocol, why);
      log.warn({ protocol, address, why }, LOG.connectionRefused);
    };
  };
  return {
    grpc: {
      connectionsMax: grpc,
      connectionRefused: refused('grpc'),
      handshakeFailed: (address: string, why: string) => {
        metrics.connectionRefused('grpc', 'handshake');
        log.warn({ address, why }, LOG.handshakeFailed);
      },
    },
    http: { connectionsMax: http, connectionRefused: refused('http') },
  };
}

/** The files that are reloaded while the process runs, except the policies. */
export function watchesOf(
  { tls, auth }: Config,
  servers: readonly Pick<GrpcServer | HttpServer, 'renewTls'>[],
  access: Access | undefined,
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
): { check(): Promise<void>; stop(): void }[] {
  const certificates = tls && new ServedCertificates(tls.material, log);
  if (certificates !== undefined) metrics.watchCertificates(() => certificates.ends);
  const renew = (material: TlsMaterial) => {
    for (const server of servers) server.renewTls(material);
    certificates?.renewTls(material);
  };
  const ofTls = tls && watchTls(tls, log, renew);
  if (ofTls !== undefined) metrics.watchFile('DIBS_TLS_CERT', () => ofTls.isRefused);
  const ofAuth = auth && access && watchIdentities(auth, log, access);
  if (ofAuth !== undefined) metrics.watchFile('DIBS_AUTH_FILE', () => ofAuth.isRefused);
  return [ofTls, ofAuth, certificates].filter((watch) => watch !== undefined);
}

/** Undefined without DIBS_AUTH_FILE, so that calls pay nothing for it. */
export function accessOf({ auth }: Config, clock: Clock, log: Logger): Access | undefined {
  return auth && new Access(auth.identities, { clock, audit: auditLog(log) });
}
