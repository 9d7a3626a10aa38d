import { connect } from 'node:net';
import { EnvironmentReader } from '../config/environment-reader.js';
import { type OtelConfig, otlpEndpoints } from '../config/otel-environment.js';
import type { Clock } from '../coordination/ports/clock.js';
import type { Findings } from './finding.js';
import { within } from './within.js';

const CONNECT_MS_MAX = 2_000;

/** Connects to each collector that the exporters would send to. Nothing is sent. */
export async function examineCollectors(
  otel: OtelConfig,
  env: Readonly<Record<string, string | undefined>>,
  clock: Clock,
  findings: Findings,
): Promise<void> {
  const places = otlpEndpoints(new EnvironmentReader(env), otel).map(({ url: { hostname }, port }) => {
    // A URL may contain a password.
    return { name: `${hostname}:${port}`, host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
  });
  for (const { name, ...at } of new Map(places.map((place) => [place.name, place])).values()) {
    try {
      await within(clock, CONNECT_MS_MAX, () => reached(at));
      findings.ok('connection', `${name} accepts connections`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      findings.warning(
        'connection',
        `${name} cannot be reached, so traces and metrics would be lost: ${why}`,
      );
    }
  }
}

function reached(at: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(at, () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', reject);
    socket.setTimeout(CONNECT_MS_MAX, () => socket.destroy());
  });
}
