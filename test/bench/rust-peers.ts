import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Fleet } from '../support/fleet.js';
import { type AnyRow, AS_SHIPPED, type Measured } from './bench.js';
import { hits, PeerProgram, PROCESSES, stampedes, takeover } from './peer-program.js';

const FOLDER = 'test/bench/rust-peers';
const NAMES = {
  near: 'Rust, Dibs with a near cache',
  session: 'Rust, Dibs on a session',
  moka: 'moka alone',
};

/**
 * The Rust client compared with moka, in one program: a hit in the near cache, and a stampede in one process (without
 * the rebuild's time). moka does nothing between processes. There the client stands alone: a hit on a session, a
 * stampede of 999 callers in three processes, and a killed holder. No rows without Rust.
 */
export async function rustPeers(): Promise<AnyRow[]> {
  const program = built();
  if (program === undefined) return [];
  const fleet = await Fleet.start({ replicas: 2, env: AS_SHIPPED });
  const start = () => PeerProgram.start([program], fleet);
  const workers = Array.from({ length: PROCESSES }, start);
  const [worker] = workers as [PeerProgram];
  try {
    return [
      ...(await hits(worker, NAMES, [
        { ours: 'near', theirs: 'moka', calls: 300_000, inFlight: 1, ratioMax: 2 },
        { ours: 'near', theirs: 'moka', calls: 300_000, inFlight: 64, ratioMax: 2 },
        { ours: 'session', theirs: 'moka', calls: 20_000, inFlight: 64 },
      ])),
      ...(await stampedes([worker], NAMES, ['near', 'moka'], 'in one')),
      ...(await stampedes(workers, NAMES, ['near', 'moka'], 'in three')),
      alone(await takeover(start, NAMES, 'near')),
    ];
  } finally {
    for (const one of workers) one.kill();
    await fleet.stop();
  }
}

function alone({ name, p50Ms }: Measured): AnyRow {
  const facts = ['moka: no process waits for another, each asks the source'];
  return { kind: 'bound', name, value: p50Ms, unit: 'ms', facts };
}

function built(): string | undefined {
  const { status } = spawnSync('cargo', ['build', '--quiet', '--release'], {
    cwd: FOLDER,
    stdio: 'inherit',
  });
  if (status === 0) return join(FOLDER, 'target', 'release', 'dibs-bench-rust-peers');
  console.log('  the peers of the Rust client are left out: their program needs Rust\n');
  return undefined;
}
