/** For HTTP's connections, Redis, files, and what else the process opens. */
const RESERVED = 1_200;

/** How many connections may be open, so that probes, Redis and files still get descriptors. */
export function connectionsWithin(wanted: number, openFilesMax: number): number {
  return Math.max(1, Math.min(wanted, Math.max(openFilesMax - RESERVED, Math.floor(openFilesMax / 2))));
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
