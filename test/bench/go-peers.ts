import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWithThisProcess } from '../support/end-with-this-process.js';
import { Fleet } from '../support/fleet.js';
import { type AnyRow, type Measured, measured, row } from './bench.js';

const PROCESSES = 3;
const CALLERS = 333;
const REBUILD_MS = 50;
const ROUNDS = 5;
/** Until the waiter stands, before its holder is killed. */
const HELD_MS = 500;

interface Stampeded {
  readonly rebuilds: number;
  readonly tookMs: readonly number[];
}

/**
 * The Go client beside the peers of its users, in one program: a hit in the near cache, a hit without one, a stampede of
 * 999 callers in three processes above its rebuild, and a holder that is killed. No rows where there is no Go.
 */
export async function goPeers(): Promise<AnyRow[]> {
  const program = built();
  if (program === undefined) return [];
  const fleet = await Fleet.start({ replicas: 2 });
  const start = () => Worker.start(program, fleet);
  const workers = Array.from({ length: PROCESSES }, start);
  try {
    return [...(await hits(first(workers))), ...(await stampedes(workers)), ...(await takeovers(start))];
  } finally {
    for (const worker of workers) worker.kill();
    await fleet.stop();
  }
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

/** In alternating rounds; the middle one counts. */
async function hits(worker: Worker): Promise<AnyRow[]> {
  const compared = [
    { ours: 'near', theirs: 'aside', calls: 300_000, inFlight: 1, ratioMax: 1 },
    { ours: 'near', theirs: 'aside', calls: 300_000, inFlight: 64, ratioMax: 1 },
    { ours: 'near json', theirs: 'aside json', calls: 300_000, inFlight: 1, ratioMax: 1 },
    { ours: 'session', theirs: 'get', calls: 20_000, inFlight: 64 },
  ];
  const rows: AnyRow[] = [];
  for (const { ours, theirs, calls, inFlight, ratioMax } of compared) {
    const cpuNs: Record<string, number[]> = { [ours]: [], [theirs]: [] };
    const wallNs: Record<string, number[]> = { [ours]: [], [theirs]: [] };
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const way of [ours, theirs]) {
        const took = await worker.ask<{ cpuNs: number; wallNs: number }>({
          ...{ do: 'hits', way, key: 'hit', calls, inFlight },
        });
        cpuNs[way]?.push(took.cpuNs);
        wallNs[way]?.push(took.wallNs);
      }
    }
    const of = (way: string): Measured => {
      const ms = (ns: number[] = []) => [...ns].sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN;
      const name = `${NAMES[way]}, a hit, ${inFlight} in flight, CPU of the process`;
      return { name, rounds: calls, p50Ms: ms(cpuNs[way]) / 1e6, p99Ms: ms(cpuNs[way]) / 1e6 };
    };
    const middle = (way: string) => [...(cpuNs[way] ?? [])].sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN;
    const wall = (way: string) => [...(wallNs[way] ?? [])].sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN;
    const facts = [ours, theirs].map(
      (way) =>
        `${NAMES[way]}: ${Math.round(middle(way))} ns of CPU, ${Math.round(wall(way))} ns of wall time`,
    );
    rows.push(row(of(ours), of(theirs), { ratioMax, facts }));
  }
  return rows;
}

const NAMES: Readonly<Record<string, string>> = {
  near: 'Dibs with a near cache',
  'near json': 'Dibs with a near cache, in JSON',
  session: 'Dibs on a session',
  aside: 'rueidisaside',
  'aside json': 'rueidisaside, in JSON',
  get: 'GET of rueidis, in its own pipelines',
  redsync: 'redsync on five nodes',
};

async function stampedes(workers: readonly Worker[]): Promise<AnyRow[]> {
  const ways = ['near', 'aside', 'redsync'];
  const tookMs: Record<string, number[]> = Object.fromEntries(ways.map((way) => [way, []]));
  const rebuilds: Record<string, number> = Object.fromEntries(ways.map((way) => [way, 0]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const way of ways) {
      const all = await Promise.all(
        workers.map((worker) =>
          worker.ask<Stampeded>({
            ...{ do: 'stampede', way, key: `stampede ${round}`, calls: CALLERS, rebuildMs: REBUILD_MS },
          }),
        ),
      );
      for (const it of all) {
        tookMs[way]?.push(...it.tookMs);
        rebuilds[way] = (rebuilds[way] ?? 0) + it.rebuilds;
      }
    }
  }
  const of = (way: string) =>
    measured(`${NAMES[way]}, ${PROCESSES * CALLERS} callers in ${PROCESSES} processes`, tookMs[way] ?? []);
  const facts = ways.map((way) => `${NAMES[way]}: ${rebuilds[way]} rebuilds in ${ROUNDS} rounds`);
  return ['aside', 'redsync'].map((way) => row(of('near'), of(way), { lessMs: REBUILD_MS, facts }));
}

/** From `kill -9` of the holder to the value of a waiter in another process, which rebuilds at once. */
async function takeovers(start: () => Worker): Promise<AnyRow[]> {
  const took: Record<string, Measured> = {};
  for (const [way, rounds] of [
    ['near', ROUNDS],
    ['aside', 1],
    ['redsync', 1],
  ] as const) {
    const tookMs: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const [holder, waiter] = [start(), start()];
      const key = `takeover ${round}`;
      await holder.ask({ do: 'hold', way, key });
      const value = waiter.ask({ do: 'take', way, key, calls: 1, rebuildMs: 0 });
      await sleep(HELD_MS);
      const startMs = performance.now();
      holder.kill();
      await value;
      tookMs.push(performance.now() - startMs);
      waiter.kill();
    }
    took[way] = measured(`${NAMES[way]}, holder killed, until the next has its value`, tookMs);
  }
  const of = (way: string) => took[way] as Measured;
  return ['aside', 'redsync'].map((way) => row(of('near'), of(way)));
}

function first<T>(of: readonly T[]): T {
  return of[0] as T;
}

/** The program in Go, which answers each line with one. */
class Worker {
  readonly #answers: ((line: string) => void)[] = [];

  private constructor(private readonly child: ChildProcess) {
    if (child.stdout === null) throw new Error('it has no standard output');
    createInterface({ input: child.stdout }).on('line', (line) => this.#answers.shift()?.(line));
  }

  static start(program: string, { replicas, store, lockNodes }: Fleet): Worker {
    const child = spawn(
      program,
      [
        replicas.map(({ target }) => target).join(','),
        `127.0.0.1:${store.port}`,
        lockNodes.map(({ port }) => `127.0.0.1:${port}`).join(','),
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    endWithThisProcess(child);
    return new Worker(child);
  }

  async ask<Answer>(command: object): Promise<Answer> {
    const line = new Promise<string>((resolve) => this.#answers.push(resolve));
    this.child.stdin?.write(`${JSON.stringify(command)}\n`);
    return JSON.parse(await line) as Answer;
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}
