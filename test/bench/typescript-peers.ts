import { fileURLToPath } from 'node:url';
import { Fleet } from '../support/fleet.js';
import { type AnyRow, AS_SHIPPED } from './bench.js';
import { hits, PeerProgram, PROCESSES, stampedes, takeover } from './peer-program.js';

const PROGRAM = fileURLToPath(new URL('typescript-peer.js', import.meta.url));
const NAMES = {
  near: 'TypeScript, Dibs with a near cache',
  session: 'TypeScript, Dibs on a session',
  bento: 'bentocache in memory, with Redis behind',
  redis: 'bentocache on Redis alone',
};

/**
 * The TypeScript client compared with bentocache, in one program: a hit in the near cache, a hit without one, a
 * stampede of 999 callers in three processes (without the rebuild's time), and a killed holder.
 */
export async function typescriptPeers(): Promise<AnyRow[]> {
  const fleet = await Fleet.start({ replicas: 2, env: AS_SHIPPED });
  const start = () => PeerProgram.start([process.execPath, PROGRAM], fleet);
  const workers = Array.from({ length: PROCESSES }, start);
  try {
    return [
      ...(await hits(workers[0] as PeerProgram, NAMES, [
        { ours: 'near', theirs: 'bento', calls: 100_000, inFlight: 1, ratioMax: 1 },
        { ours: 'near', theirs: 'bento', calls: 100_000, inFlight: 64, ratioMax: 1 },
        { ours: 'session', theirs: 'redis', calls: 20_000, inFlight: 64 },
      ])),
      ...(await stampedes(workers, NAMES, ['near', 'bento'])),
      await takenOver(start),
    ];
  } finally {
    for (const worker of workers) worker.kill();
    await fleet.stop();
  }
}

/** No alternative: each process with bentocache calls the source itself, so there is nothing to take over. */
async function takenOver(start: () => PeerProgram): Promise<AnyRow> {
  const { name, p50Ms } = await takeover(start, NAMES, 'near');
  const facts = ['bentocache: a second process does not wait for the first, and asks the source too'];
  return { kind: 'bound', name, value: p50Ms, unit: 'ms', facts };
}
