import { connect } from 'node:net';
import { EnvironmentReader } from '../config/environment-reader.js';
import { type OtelConfig, otlpEndpoints } from '../config/otel-environment.js';
import type { Clock } from '../coordination/ports/clock.js';
import type { Findings } from './finding.js';
import { within } from './within.js';

const CONNECT_MS_MAX = 2_000;
/** The ports of a collector, where its URL has none: those of the schemes. */
const PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

/** Connects to each collector that the configuration names. Nothing is sent. */
export async function examineCollectors(
  otel: OtelConfig,
  env: Readonly<Record<string, string | undefined>>,
  clock: Clock,
  findings: Findings,
): Promise<void> {
  const urls = otlpEndpoints(new EnvironmentReader(env), otel).map(({ url }) => url);
  for (const { protocol, hostname, port } of new Map(urls.map((url) => [url.href, url])).values()) {
    const host = hostname.replace(/^\[|\]$/g, '');
    const at = { host, port: port === '' ? (PORTS[protocol] ?? 0) : Number(port) };
    // A URL may contain a password.
    const name = `${hostname}:${at.port}`;
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
