import { liveInClients } from './client-life.js';
import { amnesias, FAULTS, GROUP_FAULTS, healAll, LATENESS, misfortunes } from './faults.js';
import { groupsOf, rollOut } from './groups.js';
import type { Violation } from './judge.js';
import { liveOn } from './life.js';
import { judgeBudget, judgeOneRebuild, judgeRest, judgeTakeover, RECOVERY_MS } from './rest.js';
import { SimChance } from './sim-chance.js';
import { LIMITS } from './sim-replica.js';
import { Trace } from './trace.js';
import { drawnFrom, type Fleet, World } from './world.js';

/** The first start of the quorum. Faults begin after it. */
const WARM_UP_MS = 1_500;
const CALLERS = 12;
const OPERATIONS_MIN = 200;
const FAULTS_MIN = 3;
const FAULTS_MAX = 10;
/** The share of seeds in which lock nodes forget together with the store. */
const AMNESIA_SHARE = 0.2;
/** The share of seeds with additional clients that have near caches. */
const CLIENT_SHARE = 0.05;
/** The longest that a seed may take, in virtual time. After that it counts as hanging. */
const LIFE_MS_MAX = 120_000;

export interface SeedResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly digest: string;
  readonly operations: number;
  readonly faults: number;
  readonly steps: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly coverage: [string, [string, number][]][];
}

export const ABOUTS = ['clients', 'lateness', 'groups'] as const;
export type About = (typeof ABOUTS)[number];

/** How to play a seed. */
export interface Played {
  /** Receives every line of the trace. */
  readonly print?: (line: string) => void;
  /**
   * `clients`: every seed has clients with near caches, and few others. `lateness`: replies are late, by less than would
   * make anything count as gone, and nothing else goes wrong. `groups`: there are several groups of lock nodes, and the
   * replicas restart one after the other with other groups.
   */
  readonly about?: About | undefined;
}

/** Plays one seed from the first start until rest. */
export async function simulate(seed: number, { print, about }: Played = {}): Promise<SeedResult> {
  const trace = new Trace(print);
  const world = new World(fleetOf(seed, about), trace);
  const { time, chance, judge } = world;
  await time.runUntil(WARM_UP_MS);

  const operations = (about === 'clients' ? 0 : OPERATIONS_MIN) + chance.below(60);
  const faults = FAULTS_MIN + chance.below(FAULTS_MAX - FAULTS_MIN + 1);
  const work = { left: operations };
  const lives = Array.from({ length: CALLERS }, (_, at) => liveOn(world, `c${at}`, work));
  const onlyLate = about === 'lateness';
  const kinds = onlyLate ? LATENESS : about === 'groups' ? GROUP_FAULTS : FAULTS;
  const wrong = [misfortunes(world, faults, !onlyLate && chance.hits(0.1), kinds)];
  if (about === 'groups') wrong.push(rollOut(world));
  const rare = new SimChance(~seed);
  if (!onlyLate && rare.hits(AMNESIA_SHARE)) wrong.push(amnesias(world, rare));
  const company = clientsOf(world, seed, about === 'clients' ? 1 : onlyLate ? 0 : CLIENT_SHARE);
  await played(world, Promise.all([...lives, ...wrong, company.over]), 'the clients');
  company.leave();

  healAll(world);
  world.faults.clear();
  world.say(() => 'ALL HEALED', 'healed');
  await time.runUntil(time.nowMs + RECOVERY_MS);
  judgeRest(world);
  world.quiet = true;
  await played(world, judgeOneRebuild(world), 'one rebuild');
  await played(world, judgeTakeover(world), 'the takeover');
  await played(world, judgeBudget(world), 'the budget');
  await time.runUntil(time.nowMs + LIMITS.leaseMsMax + 1_000);
  judgeRest(world);
  return {
    seed,
    violations: judge.violations,
    digest: trace.digest,
    operations,
    faults,
    steps: time.steps,
    counts: judge.counts,
    coverage: world.coverage.entries(),
  };
}

/** S. An authority that is silent for less is only late. */
const SILENCE_MS = 2_000;

function fleetOf(seed: number, about: About | undefined): Fleet {
  const fleet = drawnFrom(seed);
  if (about === 'groups') return { ...fleet, ...groupsOf(new SimChance(seed ^ 0x2c1b3c6d)) };
  if (about !== 'lateness') return fleet;
  const patience = { storeMs: SILENCE_MS, nodesMs: SILENCE_MS };
  return { ...fleet, patience, onlyLate: true, limits: { ...fleet.limits, silenceMs: SILENCE_MS } };
}

/** Uses its own random numbers, so that seeds without such clients do not change. */
function clientsOf(
  world: World,
  seed: number,
  share: number,
): { readonly over: Promise<unknown>; leave(): void } {
  const chance = new SimChance(seed ^ 0x5bd1e995);
  if (!chance.hits(share)) return { over: Promise.resolve(), leave: () => {} };
  const { clients, over } = liveInClients(world, chance);
  return {
    over,
    leave: () => {
      for (const { client } of clients) client.transport.close();
    },
  };
}

/** Runs the world until `what` has settled. */
async function played(world: World, what: Promise<unknown>, name: string): Promise<void> {
  let over = false;
  let failed: unknown;
  what.then(
    () => {
      over = true;
    },
    (error: unknown) => {
      over = true;
      failed = error;
    },
  );
  const { time } = world;
  await time.runThrough(() => over, time.nowMs + LIFE_MS_MAX, 250);
  if (failed !== undefined) world.judge.violated('INV-9', `${name} failed: ${(failed as Error).stack}`);
  if (!over) world.judge.violated('INV-9', `${name} never came to an end`);
}
