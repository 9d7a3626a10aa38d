import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fleet } from '../support/fleet.js';
import { Replica } from '../support/replica.js';
import { type AnyRow, AS_SHIPPED, row } from './bench.js';
import { hits, PeerProgram, PROCESSES, stampedes, takeover } from './peer-program.js';

const NAMES: Readonly<Record<string, string>> = {
  near: 'Dibs with a near cache',
  'near json': 'Dibs with a near cache, in JSON',
  session: 'Dibs on a session',
  embedded: 'Dibs in the memory of one replica',
  aside: 'rueidisaside',
  'aside json': 'rueidisaside, in JSON',
  get: 'GET of rueidis, in its own pipelines',
  redsync: 'redsync on five nodes',
};

const STAMPEDING = ['near', 'embedded', 'aside', 'redsync'] as const;

/**
 * The Go client compared with its users' alternatives, in one program: a hit in the near cache, a hit without one, a
 * stampede of 999 callers in three processes for one key and for a hundred (without the rebuild's time), and a killed
 * holder. A replica without Redis shows how much of a stampede is due to the client and gRPC. No rows without Go.
 */
export async function goPeers(): Promise<AnyRow[]> {
  const program = built();
  if (program === undefined) return [];
  const fleet = await Fleet.start({ replicas: 2, env: AS_SHIPPED });
  const embedded = await Replica.start(AS_SHIPPED);
  const start = () => PeerProgram.start([program], fleet, [embedded.target]);
  const workers = Array.from({ length: PROCESSES }, start);
  try {
    return [
      ...(await hits(workers[0] as PeerProgram, NAMES, [
        { ours: 'near', theirs: 'aside', calls: 300_000, inFlight: 1, ratioMax: 1 },
        { ours: 'near', theirs: 'aside', calls: 300_000, inFlight: 64, ratioMax: 1 },
        { ours: 'near json', theirs: 'aside json', calls: 300_000, inFlight: 1, ratioMax: 1 },
        { ours: 'session', theirs: 'get', calls: 20_000, inFlight: 64 },
      ])),
      ...(await stampedes(workers, NAMES, STAMPEDING)),
      ...(await stampedes(workers, NAMES, STAMPEDING, 'a hundred', 100)),
      ...(await takeovers(start)),
    ];
  } finally {
    for (const worker of workers) worker.kill();
    await embedded.kill();
    await fleet.stop();
  }
}

async function takeovers(start: () => PeerProgram): Promise<AnyRow[]> {
  const ours = await takeover(start, NAMES, 'near');
  const theirs = [await takeover(start, NAMES, 'aside', 1), await takeover(start, NAMES, 'redsync', 1)];
  return theirs.map((it) => row(ours, it));
}

function built(): string | undefined {
  const program = join(mkdtempSync(join(tmpdir(), 'dibs-go-peers-')), 'go-peers');
  const { status } = spawnSync('go', ['build', '-o', program, '.'], {
    cwd: 'test/bench/go-peers',
    stdio: 'inherit',
  });
  if (status === 0) return program;
  console.log('  the peers of the Go client are left out: their program needs Go\n');
  return undefined;
}
