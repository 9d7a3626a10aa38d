import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWithThisProcess } from '../support/end-with-this-process.js';
import type { Fleet } from '../support/fleet.js';
import { type AnyRow, type Measured, measured, row } from './bench.js';

/** How many processes stampede together. */
export const PROCESSES = 3;
const CALLERS = 333;
const REBUILD_MS = 50;
const ROUNDS = 5;
/** Stampedes that are not counted: the first ones take up to three times as long, because code is not compiled yet. */
const WARM_UP_ROUNDS = 20;
/** How long a waiter has to begin its wait before its holder is killed. */
const HELD_MS = 500;

/** The names of the ways in the figures. */
type Names = Readonly<Record<string, string>>;

interface Stampeded {
  readonly rebuilds: number;
  readonly tookMs: readonly number[];
}

interface ComparedHits {
  readonly ours: string;
  readonly theirs: string;
  readonly calls: number;
  readonly inFlight: number;
  readonly ratioMax?: number;
}

/** Runs the ways in alternating rounds. The median counts. */
export async function hits(
  worker: PeerProgram,
  names: Names,
  compared: readonly ComparedHits[],
): Promise<AnyRow[]> {
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
      const name = `${names[way]}, a hit, ${inFlight} in flight, CPU of the process`;
      return { name, rounds: calls, p50Ms: ms(cpuNs[way]) / 1e6, p99Ms: ms(cpuNs[way]) / 1e6 };
    };
    const middle = (way: string) => [...(cpuNs[way] ?? [])].sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN;
    const wall = (way: string) => [...(wallNs[way] ?? [])].sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN;
    const facts = [ours, theirs].map(
      (way) =>
        `${names[way]}: ${Math.round(middle(way))} ns of CPU, ${Math.round(wall(way))} ns of wall time`,
    );
    rows.push(row(of(ours), of(theirs), { ratioMax, facts }));
  }
  return rows;
}

/** The first way is ours. `keys` separates two runs of the same way. */
export async function stampedes(
  workers: readonly PeerProgram[],
  names: Names,
  ways: readonly [ours: string, ...theirs: string[]],
  key = 'stampede',
  keys = 1,
): Promise<AnyRow[]> {
  const [ours, ...theirs] = ways;
  const tookMs: Record<string, number[]> = Object.fromEntries(ways.map((way) => [way, []]));
  const rebuilds: Record<string, number> = Object.fromEntries(ways.map((way) => [way, 0]));
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
    for (const way of ways) {
      const all = await Promise.all(
        workers.map((worker) =>
          worker.ask<Stampeded>({
            ...{ do: 'stampede', way, key: `${key} ${round}`, keys, calls: CALLERS, rebuildMs: REBUILD_MS },
          }),
        ),
      );
      if (round < 0) continue;
      for (const it of all) {
        tookMs[way]?.push(...it.tookMs);
        rebuilds[way] = (rebuilds[way] ?? 0) + it.rebuilds;
      }
    }
  }
  const of = (way: string) =>
    measured(
      `${names[way]}, ${workers.length * CALLERS} callers${keys === 1 ? '' : ` of ${keys} keys`} in ${workers.length === 1 ? 'one process' : `${workers.length} processes`}`,
      tookMs[way] ?? [],
    );
  const facts = ways.map((way) => `${names[way]}: ${rebuilds[way]} rebuilds in ${ROUNDS} rounds`);
  return theirs.map((way) => row(of(ours), of(way), { lessMs: REBUILD_MS, facts }));
}

/** From `kill -9` of the holder to the value of a waiter in another process, which rebuilds at once. */
export async function takeover(
  start: () => PeerProgram,
  names: Names,
  way: string,
  rounds = ROUNDS,
): Promise<Measured> {
  const tookMs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const [holder, waiter] = [start(), start()];
    const key = `takeover ${round}`;
    // A program that is still starting does not wait yet.
    await waiter.ask({ do: 'take', way, key: `${key}, before`, calls: 1, rebuildMs: 0 });
    await holder.ask({ do: 'hold', way, key });
    const value = waiter.ask({ do: 'take', way, key, calls: 1, rebuildMs: 0 });
    await sleep(HELD_MS);
    const startMs = performance.now();
    holder.kill();
    await value;
    tookMs.push(performance.now() - startMs);
    waiter.kill();
  }
  return measured(`${names[way]}, holder killed, until the next has its value`, tookMs);
}

/** A program with a client and its alternatives. It answers each line with one line. */
export class PeerProgram {
  readonly #asked: { answer(line: string): void; fail(error: Error): void }[] = [];

  private constructor(private readonly child: ChildProcess) {
    if (child.stdout === null) throw new Error('the program has no standard output');
    createInterface({ input: child.stdout }).on('line', (line) => this.#asked.shift()?.answer(line));
    child.once('exit', () => {
      for (const { fail } of this.#asked.splice(0)) fail(new Error('the program ended before its answer'));
    });
  }

  static start(
    [program, ...args]: readonly [string, ...string[]],
    { replicas, store, lockNodes }: Fleet,
    more: readonly string[] = [],
  ): PeerProgram {
    const child = spawn(
      program,
      [
        ...args,
        replicas.map(({ target }) => target).join(','),
        `127.0.0.1:${store.port}`,
        lockNodes.map(({ port }) => `127.0.0.1:${port}`).join(','),
        ...more,
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    endWithThisProcess(child);
    return new PeerProgram(child);
  }

  async ask<Answer>(command: object): Promise<Answer> {
    const line = new Promise<string>((answer, fail) => this.#asked.push({ answer, fail }));
    this.child.stdin?.write(`${JSON.stringify(command)}\n`);
    return JSON.parse(await line) as Answer;
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}
