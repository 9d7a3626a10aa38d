import { existsSync } from 'node:fs';
import { Adapter } from '../conformance/adapter.js';
import { LANGUAGES, missingFor } from '../conformance/adapters.js';
import { Replica } from '../support/replica.js';
import { type AnyRow, type Bench, type Measured, row } from './bench.js';
import { goPeers } from './go-peers.js';
import { javaPeers } from './java-peers.js';
import { pythonPeers } from './python-peers.js';
import { rustPeers } from './rust-peers.js';
import { typescriptPeers } from './typescript-peers.js';

const CALLS = 20_000;
const IN_FLIGHT = 64;

/**
 * The cost of a hit by each client's getOrRebuild, compared with the bare call in its language, and with the libraries
 * that its users would choose instead.
 */
export const clients: Bench = {
  name: 'clients',
  async run(): Promise<AnyRow[]> {
    const replica = await Replica.start();
    const rows: AnyRow[] = [];
    try {
      for (const language of LANGUAGES) {
        const [program] = language.command;
        if (missingFor(language) !== undefined || !existsSync(program)) continue;
        const adapter = await Adapter.start(language);
        await adapter.act('open', { client: 'bench', target: replica.target });
        const plan = { client: 'bench', key: `bench ${language.name}`, calls: CALLS, in_flight: IN_FLIGHT };
        const answer = await adapter.act('bench', plan);
        await adapter.kill();
        if ('error' in answer) throw new Error(`${language.name}: ${JSON.stringify(answer.error)}`);
        const { client_us, stub_us, stub } = answer.result as {
          client_us: number;
          stub_us: number;
          stub: string;
        };
        const of = (name: string, us: number): Measured => ({
          ...{ name: `${language.name}, ${name}`, rounds: CALLS },
          ...{ p50Ms: us / 1_000, p99Ms: us / 1_000 },
        });
        rows.push(row(of('a hit by the client', client_us), of(`the bare ${stub} call`, stub_us)));
      }
      for (const peers of [typescriptPeers, goPeers, pythonPeers, javaPeers, rustPeers]) {
        rows.push(...(await peers()));
      }
      return rows;
    } finally {
      await replica.kill();
    }
  },
};
