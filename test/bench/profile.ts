import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { Fleet } from '../support/fleet.js';
import { until } from '../support/until.js';
import type { Bench, BoundRow } from './bench.js';

const IN_FLIGHT = 64;
/** Long enough for the code to be compiled. */
const WARM_UP_MS = 5_000;
const PROFILE_MS = 5_000;
const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 600_000;
const FILES_MAX = 25;
const FUNCTIONS_MAX = 15;

type Once = (client: DibsClient, at: number) => Promise<void>;

/** What is repeated while the replica is profiled. */
const PATHS: Readonly<Record<string, Once>> = {
  cold: async (client, at) => {
    const key = `cold ${at}`;
    const outcome = await client.getOrLock({ key });
    if (outcome.kind !== 'lease') throw new Error(`expected a lease, got ${outcome.kind}`);
    await client.publish({ key, token: outcome.token, value: VALUE, ttlMs });
  },
  hits: async (client, at) => {
    const key = `hit ${at % 100}`;
    const outcome = await client.getOrLock({ key });
    if (outcome.kind === 'lease') await client.publish({ key, token: outcome.token, value: VALUE, ttlMs });
  },
};

export const PROFILED = Object.keys(PATHS);

/**
 * Profiles a replica on one path, keeps the profile, and returns where the CPU goes: self times by file and function.
 */
export function profileOf(path: string): Bench {
  return { name: `profile ${path}`, run: () => profiled(path) };
}

async function profiled(path: string): Promise<BoundRow[]> {
  const once = PATHS[path];
  if (once === undefined) throw new Error(`no such path: ${path}; there are ${PROFILED.join(', ')}`);
  const file = join(mkdtempSync(join(tmpdir(), 'dibs-profile-')), `${path}.cpuprofile`);
  const fleet = await Fleet.start({ replicas: 0 });
  try {
    const replica = await fleet.addReplica({
      NODE_OPTIONS: `--max-semi-space-size=64 --import ${process.cwd()}/test/bench/cpu-profile.mjs`,
      CPU_PROFILE_FILE: file,
    });
    const client = new DibsClient({ target: replica.target });
    await drive(client, once, WARM_UP_MS);
    process.kill(replica.pid, 'SIGUSR2');
    const times = await drive(client, once, PROFILE_MS);
    process.kill(replica.pid, 'SIGUSR2');
    await until(() => existsSync(file));
    client.close();
    return rowsOf(path, JSON.parse(readFileSync(file, 'utf8')) as Profile, times, file);
  } finally {
    await fleet.stop();
  }
}

let at = 0;

/** Repeats `once`, and returns how many times. */
async function drive(client: DibsClient, once: Once, ms: number): Promise<number> {
  const untilMs = performance.now() + ms;
  let times = 0;
  const one = async () => {
    while (performance.now() < untilMs) {
      at += 1;
      await once(client, at);
      times += 1;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
  return times;
}

/** V8's format: each sample is the node that ran, and each delta the µs since the sample before. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

function rowsOf(path: string, profile: Profile, times: number, file: string): BoundRow[] {
  const byFile = new Map<string, number>();
  const byFunction = new Map<string, number>();
  let busyUs = 0;
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  for (const [index, id] of profile.samples.entries()) {
    const { functionName, url, lineNumber } = nodes.get(id) ?? { functionName: '', url: '', lineNumber: 0 };
    // `dispatch` is the profiler itself.
    if (functionName === '(idle)' || (functionName === 'dispatch' && url === '')) continue;
    const us = Math.max(0, profile.timeDeltas[index] ?? 0);
    const where = url === '' ? functionName || '(native)' : shortOf(url);
    const what = url === '' ? where : `${functionName || '(anonymous)'} ${where}:${lineNumber + 1}`;
    busyUs += us;
    byFile.set(where, (byFile.get(where) ?? 0) + us);
    byFunction.set(what, (byFunction.get(what) ?? 0) + us);
  }
  const facts = [
    ...['by file, self time:', ...top(byFile, times, FILES_MAX)],
    ...['by function, self time:', ...top(byFunction, times, FUNCTIONS_MAX)],
    `kept in ${file}`,
  ];
  const name = `${path}, ${IN_FLIGHT} in flight, load ${loadavg()[0]?.toFixed(1)}, while it is profiled`;
  return [{ kind: 'bound', name, value: busyUs / times, unit: 'µs of the replica each time', facts }];
}

function shortOf(url: string): string {
  return url.replace(/^.*\/(?:node_modules|dist)\//, '').replace(/^file:\/\//, '');
}

function top(usOf: ReadonlyMap<string, number>, times: number, max: number): string[] {
  const sorted = [...usOf].sort(([, one], [, other]) => other - one).slice(0, max);
  return sorted.map(([name, us]) => `${(us / times).toFixed(2).padStart(8)} µs  ${name}`);
}
