/** For the connections of HTTP, 1,032, and for Redis, files, and what else the process opens. */
const RESERVED = 1_200;

export interface ConnectionBounds {
  readonly grpc: number;
  readonly http: number;
}

/**
 * How many connections may be open, so that probes, Redis and files still get descriptors. With few of them, half are
 * for gRPC and an eighth for HTTP.
 */
export function connectionsWithin(wanted: ConnectionBounds, openFilesMax: number): ConnectionBounds {
  const grpcMax = Math.max(openFilesMax - RESERVED, Math.floor(openFilesMax / 2), 1);
  const httpMax = Math.max(Math.floor(openFilesMax / 8), 1);
  return { grpc: Math.min(wanted.grpc, grpcMax), http: Math.min(wanted.http, httpMax) };
}

/** Of this process. Node raises it to the hard limit at its start. */
export function openFilesMaxOf(report: NodeJS.ProcessReport | undefined): number {
  if (report === undefined) return Number.POSITIVE_INFINITY;
  const { userLimits } = report.getReport() as {
    readonly userLimits?: { readonly open_files?: { readonly soft?: number | string } };
  };
  const soft = userLimits?.open_files?.soft;
  return typeof soft === 'number' ? soft : Number.POSITIVE_INFINITY;
}
