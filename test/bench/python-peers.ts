import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Fleet } from '../support/fleet.js';
import { type AnyRow, AS_SHIPPED, row } from './bench.js';
import { hits, PeerProgram, PROCESSES, stampedes, takeover } from './peer-program.js';

const FOLDER = 'test/bench/python-peers';
const NAMES = {
  near: 'Python, Dibs with a near cache',
  session: 'Python, Dibs on a session',
  memory: 'dogpile.cache in memory',
  dogpile: 'dogpile.cache on Redis',
};

/**
 * The Python client compared with dogpile.cache and its Redis lock, in one program: a hit in the near cache, a hit
 * without one, a stampede of 999 threads in three processes (without the rebuild's time), and a killed holder. No rows
 * without Python.
 */
export async function pythonPeers(): Promise<AnyRow[]> {
  const python = installed();
  if (python === undefined) return [];
  const fleet = await Fleet.start({ replicas: 2, env: AS_SHIPPED });
  const program = ['/usr/bin/env', `PYTHONPATH=${resolve('clients/python/src')}`, python] as const;
  const start = () => PeerProgram.start([...program, join(FOLDER, 'main.py')], fleet);
  const workers = Array.from({ length: PROCESSES }, start);
  try {
    return [
      ...(await hits(workers[0] as PeerProgram, NAMES, [
        { ours: 'near', theirs: 'memory', calls: 100_000, inFlight: 1, ratioMax: 1 },
        { ours: 'session', theirs: 'dogpile', calls: 4_000, inFlight: 1 },
        { ours: 'session', theirs: 'dogpile', calls: 8_000, inFlight: 16 },
      ])),
      ...(await stampedes(workers, NAMES, ['near', 'dogpile'])),
      row(await takeover(start, NAMES, 'near'), await takeover(start, NAMES, 'dogpile', 1)),
    ];
  } finally {
    for (const worker of workers) worker.kill();
    await fleet.stop();
  }
}

/** Installs the packages in a separate folder. The client is used from its sources. */
function installed(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'dibs-python-peers-'));
  const python = join(folder, 'bin', 'python');
  const steps: readonly (readonly [string, ...string[]])[] = [
    ['python3', '-m', 'venv', folder],
    [
      python,
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--no-deps',
      '-r',
      `${FOLDER}/requirements.txt`,
    ],
  ];
  for (const [program, ...args] of steps) {
    if (spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] }).status === 0) continue;
    console.log(
      '  the peers of the Python client are left out: their program needs Python and its packages\n',
    );
    return undefined;
  }
  return python;
}
