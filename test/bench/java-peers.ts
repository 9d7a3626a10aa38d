import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fleet } from '../support/fleet.js';
import { type AnyRow, AS_SHIPPED, row } from './bench.js';
import { hits, PeerProgram, PROCESSES, stampedes, takeover } from './peer-program.js';

const FOLDER = 'test/bench/java-peers';
const CLIENT = 'clients/java';
const NAMES = {
  near: 'Java, Dibs with a near cache',
  session: 'Java, Dibs on a session',
  caffeine: 'Caffeine before a lock of Redisson',
  redisson: 'a bucket of Redisson',
};

/**
 * The Java client compared with Caffeine before a lock of Redisson, in one program: a hit in the near cache, a hit
 * without one, a stampede of 999 threads in three processes (without the rebuild's time), and a killed holder. Caffeine
 * alone does nothing between processes, and Redisson alone has no near values. No rows without Java.
 */
export async function javaPeers(): Promise<AnyRow[]> {
  const command = built();
  if (command === undefined) return [];
  const fleet = await Fleet.start({ replicas: 2, env: AS_SHIPPED });
  const start = () => PeerProgram.start(command, fleet);
  const workers = Array.from({ length: PROCESSES }, start);
  try {
    return [
      ...(await hits(workers[0] as PeerProgram, NAMES, [
        { ours: 'near', theirs: 'caffeine', calls: 1_000_000, inFlight: 1, ratioMax: 2 },
        { ours: 'session', theirs: 'redisson', calls: 5_000, inFlight: 1 },
        { ours: 'session', theirs: 'redisson', calls: 20_000, inFlight: 64 },
      ])),
      ...(await stampedes(workers, NAMES, ['near', 'caffeine'])),
      row(await takeover(start, NAMES, 'near'), await takeover(start, NAMES, 'caffeine', 1)),
    ];
  } finally {
    for (const worker of workers) worker.kill();
    await fleet.stop();
  }
}

/** The client is built in its own folder. Java compiles the program's single file as it starts it. */
function built(): readonly [string, ...string[]] | undefined {
  const libraries = join(mkdtempSync(join(tmpdir(), 'dibs-java-peers-')), 'classpath');
  const goal = [
    '--file',
    join(FOLDER, 'pom.xml'),
    'dependency:build-classpath',
    `-Dmdep.outputFile=${libraries}`,
  ];
  const steps: readonly (readonly [string, ...string[]])[] = [
    [join(CLIENT, 'tasks.sh'), 'build'],
    ['mvn', '--quiet', '--batch-mode', ...goal],
  ];
  for (const [program, ...args] of steps) {
    if (spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] }).status === 0) continue;
    console.log('  the peers of the Java client are left out: their program needs Java and Maven\n');
    return undefined;
  }
  const own = readFileSync(join(CLIENT, 'target', 'classpath'), 'utf8').trim();
  const classpath = [join(CLIENT, 'target', 'classes'), own, readFileSync(libraries, 'utf8').trim()].join(
    ':',
  );
  return ['java', '-XX:+UseSerialGC', '-cp', classpath, join(FOLDER, 'JavaPeers.java')];
}
