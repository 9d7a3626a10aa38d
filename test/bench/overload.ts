import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { bytes } from '../../clients/typescript/src/codec.js';
import { endWithThisProcess } from '../support/end-with-this-process.js';
import { Fleet } from '../support/fleet.js';
import { percentile } from '../support/percentile.js';
import { type Bench, type BoundRow, measured } from './bench.js';
import { Recipe } from './recipes.js';

const REPLICAS = 3;
/** Each requests every key once and joins no other, like so many processes of a service. */
const CLIENTS = 12;
const KEYS = 50;
const ROUNDS = 2;
const REBUILD_MS = 50;
const WAIT_MS = 15_000;
const ttlMs = 3_600_000;
const BUSY = [0, 4, 12, 24];
/** Below the silence that counts as a loss. */
const STOP_MS_MIN = 200;
const STOP_MS_MAX = 1_500;
const BETWEEN_MS = 400;

/** The result of one stampede. */
interface Result {
  readonly rebuilds: number;
  readonly answered: number;
  readonly tookMs: readonly number[];
  /** Counts what happened to leases and publishes, by kind. */
  readonly ends?: ReadonlyMap<string, number>;
}

interface Way {
  readonly name: string;
  /** Rebuilds for each expiry, if there is a promise. */
  readonly max?: number;
  run(keys: readonly string[]): Promise<Result>;
}

/**
 * Replicas, lock nodes and the store get too little CPU, or are stopped. Shows how often each key is rebuilt, and how
 * many callers get an answer.
 */
export const overload: Bench = {
  name: 'overload',
  async run() {
    const fleet = await Fleet.start({ replicas: REPLICAS });
    const ends = new Map<string, number>();
    const count = (what: string) => ends.set(what, (ends.get(what) ?? 0) + 1);
    const hooks = {
      onPublish: ({ outcome }: { outcome: string }) => count(outcome),
      onLeaseLost: () => count('lost while it was rebuilt'),
      onLocalRebuild: () => count('without the service'),
    };
    const clients = Array.from({ length: CLIENTS }, (_, at) => {
      return new DibsClient({ target: fleet.replicas[at % REPLICAS]?.target ?? '', hooks });
    });
    const recipes = Array.from({ length: CLIENTS }, () => new Recipe(fleet));
    const aside = Aside.start(fleet.store.port);
    const ways: Way[] = [
      {
        name: 'Dibs',
        max: 1,
        run: async (keys) => {
          ends.clear();
          const result = await stampede(keys, (at, key, rebuild) => {
            const why = ({ reason }: { reason: string }) => {
              count(`lease: ${reason}`);
              return rebuild();
            };
            return of(clients, at).getOrRebuild(key, why, { ttlMs, waitMs: WAIT_MS, codec: bytes() });
          });
          return { ...result, ends: new Map(ends) };
        },
      },
      {
        name: 'Redlock in a loop, 100 ms of sleep',
        run: (keys) => stampede(keys, (at, key, rebuild) => of(recipes, at).getOrRebuild(key, rebuild)),
      },
      ...(aside === undefined
        ? []
        : [{ name: 'rueidisaside', run: (keys: readonly string[]) => aside.run(keys) }]),
    ];
    const stops: [string, (signal: 'SIGSTOP' | 'SIGCONT') => void][] = [
      ['stops of the store', (signal) => stand([fleet.store], signal)],
      ['stops of most lock nodes', (signal) => stand(fleet.lockNodes.slice(0, 3), signal)],
      ['stops of a replica', (signal) => fleet.replicas[0]?.signal(signal)],
    ];
    try {
      const rows: BoundRow[] = [];
      // A warm-up, which also teaches the store how long leases should be.
      for (const way of ways) await way.run(keysOf('warm', way.name));
      for (const count of BUSY) {
        const busy = Array.from({ length: count }, () => starve());
        for (const way of ways) rows.push(await rowOf(`${count} busy processes`, way));
        for (const process of busy) process.kill('SIGKILL');
      }
      for (const [what, signal] of stops) {
        for (const way of ways) {
          const stopped = standStill(signal);
          rows.push(await rowOf(`${what}, of up to ${STOP_MS_MAX} ms`, way));
          await stopped();
        }
      }
      return rows;
    } finally {
      for (const client of [...clients, ...recipes]) client.close();
      aside?.stop();
      await fleet.stop();
    }
  },
};

async function rowOf(under: string, { name, max, run }: Way): Promise<BoundRow> {
  let rebuilds = 0;
  let answered = 0;
  const tookMs: number[] = [];
  const ends: string[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const result = await run(keysOf(`${under} ${round}`, name));
    if (result.ends !== undefined)
      ends.push([...result.ends].map(([what, times]) => `${times} ${what}`).join(', '));
    rebuilds += result.rebuilds;
    answered += result.answered;
    tookMs.push(...result.tookMs);
  }
  const { p50Ms } = measured(name, tookMs);
  return {
    kind: 'bound',
    name: `${name}, ${under}`,
    value: rebuilds / (ROUNDS * KEYS),
    unit: 'rebuilds for each expiry',
    max,
    facts: [
      `${answered} of ${tookMs.length} callers answered within ${WAIT_MS} ms`,
      `p50 ${p50Ms.toFixed(0)} ms, p99 ${percentile(tookMs, 0.99).toFixed(0)} ms, of which the rebuild takes ${REBUILD_MS}`,
      ...ends,
    ],
  };
}

/** Every client requests every key at once. */
async function stampede(
  keys: readonly string[],
  call: (at: number, key: string, rebuild: () => Promise<Buffer>) => Promise<unknown>,
): Promise<Result> {
  let rebuilds = 0;
  let answered = 0;
  const rebuild = async () => {
    rebuilds += 1;
    await sleep(REBUILD_MS);
    return Buffer.from('v');
  };
  const one = async (at: number, key: string) => {
    const startMs = performance.now();
    const isAnswered = await Promise.race([
      call(at, key, rebuild).then(
        () => true,
        () => false,
      ),
      sleep(WAIT_MS + 1_000, false),
    ]);
    const tookMs = performance.now() - startMs;
    if (isAnswered && tookMs <= WAIT_MS) answered += 1;
    return tookMs;
  };
  const calls = keys.flatMap((key) => Array.from({ length: CLIENTS }, (_, at) => one(at, key)));
  return { tookMs: await Promise.all(calls), rebuilds, answered };
}

function keysOf(under: string, name: string): string[] {
  return Array.from({ length: KEYS }, (_, at) => `${name} ${under} ${at}`);
}

function of<T>(all: readonly T[], at: number): T {
  return all[at % all.length] as T;
}

function starve(): ChildProcess {
  const child = spawn(process.execPath, ['test/bench/busy.mjs'], { stdio: 'ignore' });
  endWithThisProcess(child);
  return child;
}

function stand(servers: Fleet['lockNodes'], signal: 'SIGSTOP' | 'SIGCONT'): void {
  for (const server of servers) {
    if (signal === 'SIGSTOP') server.hang();
    else server.resume();
  }
}

/** Stops processes for a while, again and again, until the returned function is called. */
function standStill(signal: (signal: 'SIGSTOP' | 'SIGCONT') => void): () => Promise<void> {
  let over = false;
  const standing = (async () => {
    for (let at = 0; !over; at += 1) {
      signal('SIGSTOP');
      await sleep(STOP_MS_MIN + ((at * 5) % 9) * ((STOP_MS_MAX - STOP_MS_MIN) / 8));
      signal('SIGCONT');
      await sleep(BETWEEN_MS);
    }
  })();
  return () => {
    over = true;
    return standing;
  };
}

/** The cache-aside client of rueidis, in a Go process. */
class Aside {
  readonly #results: ((line: string) => void)[] = [];

  private constructor(private readonly child: ChildProcess) {
    if (child.stdout === null) throw new Error('the program has no standard output');
    createInterface({ input: child.stdout }).on('line', (line) => this.#results.shift()?.(line));
  }

  /** Undefined without Go. */
  static start(port: number): Aside | undefined {
    const program = join(mkdtempSync(join(tmpdir(), 'dibs-aside-')), 'aside');
    const built = spawnSync('go', ['build', '-o', program, '.'], {
      cwd: 'test/bench/aside',
      stdio: 'inherit',
    });
    if (built.status !== 0) {
      console.log('  rueidisaside is left out: its program needs Go\n');
      return undefined;
    }
    const child = spawn(program, [`127.0.0.1:${port}`, `${CLIENTS}`], { stdio: ['pipe', 'pipe', 'inherit'] });
    endWithThisProcess(child);
    return new Aside(child);
  }

  async run(keys: readonly string[]): Promise<Result> {
    const line = new Promise<string>((resolve) => this.#results.push(resolve));
    this.child.stdin?.write(`${JSON.stringify({ keys, rebuildMs: REBUILD_MS, waitMs: WAIT_MS })}\n`);
    return JSON.parse(await line) as Result;
  }

  stop(): void {
    this.child.kill('SIGKILL');
  }
}
