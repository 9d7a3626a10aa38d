import { DibsClient } from '../../clients/typescript/src/client.js';
import { bytes } from '../../clients/typescript/src/codec.js';
import { Replica } from '../support/replica.js';
import { BareEcho } from './bare-echo.js';
import type { Bench, RateRow } from './bench.js';
import { rates, repeating, type Way } from './rate.js';

const KEYS = 1_000;
const IN_FLIGHT = 256;
const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 3_600_000;
const OFF = 'tracing off';

/** Hits on sessions of a replica that traces nothing, one call in a hundred, or all, with spans sent to a collector. */
export const tracing: Bench = {
  name: 'tracing',
  async run(): Promise<RateRow[]> {
    const collector = await BareEcho.start();
    const replicas: Replica[] = [];
    const clients: DibsClient[] = [];
    try {
      const way = async (name: string, env: Record<string, string>): Promise<Way> => {
        const replica = await Replica.start(env);
        const client = new DibsClient({ target: replica.target });
        replicas.push(replica);
        clients.push(client);
        const names = Array.from({ length: KEYS }, (_, at) => `traced ${at}`);
        await Promise.all(
          names.map((key) => client.getOrRebuild(key, () => VALUE, { ttlMs, codec: bytes() })),
        );
        const once = async (at: number) => {
          const { kind } = await client.getOrLock({ key: names[at % KEYS] as string });
          if (kind !== 'hit') throw new Error(`expected a hit, got ${kind}`);
        };
        return { name, serverPid: replica.pid, run: repeating(once) };
      };
      const at = (ratio: string) => ({
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://${collector.target}`,
        OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
        OTEL_TRACES_SAMPLER_ARG: ratio,
      });
      const of = await rates(
        [await way(OFF, {}), await way('1 % of the calls', at('0.01')), await way('all calls', at('1'))],
        IN_FLIGHT,
      );
      const title = `hits over a session, ${VALUE.byteLength} bytes, ${IN_FLIGHT} in flight`;
      const alternative = of(OFF);
      return [
        { kind: 'rates', title, measured: of('1 % of the calls'), alternative, ratioMin: 0.9 },
        { kind: 'rates', title, measured: of('all calls'), alternative },
      ];
    } finally {
      for (const client of clients) client.close();
      await Promise.all(replicas.map((replica) => replica.kill()));
      collector.stop();
    }
  },
};
