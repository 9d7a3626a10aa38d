import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Caller } from '../support/caller.js';
import { Fleet } from '../support/fleet.js';
import { HolderProcess } from '../support/holder-process.js';
import { Replica } from '../support/replica.js';
import { SessionAsker } from '../support/session-asker.js';
import { type Answered, expire, getOrRebuild, Origin } from '../support/stampede.js';
import { Recipe } from './recipe.js';
import { fact, head, row, title } from './show.js';

const CALLERS = 1_000;
const REBUILD_MS = 250;
/** Short, to keep the demo short. It is the same for Redlock and for Dibs. */
const LEASE_MS = 3_000;
/** The holder is killed this long after its lease came. */
const KILLED_AFTER_MS = 300;

const WARM_UP_ROUNDS = 3;
const REDLOCK = 'Redlock, polled every 100 ms';

/** Runs `ask` for every caller at once. */
function all(ask: (index: number) => Promise<Answered>): Promise<Answered[]> {
  return Promise.all(Array.from({ length: CALLERS }, (_, index) => ask(index)));
}

/** Shows callers that wait for a holder which is killed during its rebuild. */
async function killed(
  name: string,
  holding: Promise<HolderProcess>,
  ask: (index: number, origin: Origin) => Promise<Answered>,
): Promise<void> {
  const holder = await holding;
  const origin = new Origin(REBUILD_MS);
  const asked = all((index) => ask(index, origin));
  await sleep(KILLED_AFTER_MS);
  await holder.kill();
  const answers = await asked;
  // The holder's own call of the origin never returned.
  row(name, 1 + origin.calls, 2, answers);
}

/** Shows one stampede, after some that are not shown, so no row measures code that runs for the first time. */
async function stampede(
  name: string,
  ask: (index: number, key: string, origin: Origin) => Promise<Answered>,
): Promise<void> {
  for (let round = 1; round <= WARM_UP_ROUNDS; round++) {
    await all((index) => ask(index, `${name} ${round}`, new Origin(0)));
  }
  const origin = new Origin(REBUILD_MS);
  const answers = await all((index) => ask(index, name, origin));
  row(name, origin.calls, 1, answers);
}

async function withDibs(caller: Caller, askers: readonly SessionAsker[]): Promise<void> {
  await expire(caller, ['Dibs']);
  await stampede('Dibs', (index, key, origin) =>
    getOrRebuild(askers[index % askers.length] as SessionAsker, key, origin),
  );
}

async function showQuorum(): Promise<void> {
  const startedAtMs = performance.now();
  const fleet = await Fleet.start({ replicas: 2 });
  onInterrupt(() => fleet.stop());
  const [first] = fleet.replicas as [Replica, ...Replica[]];
  const caller = new Caller(first.target);
  const askers = fleet.replicas.map(({ target }) => new SessionAsker(target));
  const nodeUrls = fleet.lockNodes.map(({ url }) => url);
  const recipe = new Recipe(fleet.store.url, nodeUrls, LEASE_MS);
  try {
    await caller.connect();
    const upMs = Math.round(performance.now() - startedAtMs);
    fact('fleet', `5 lock nodes, 1 value store, 2 replicas: 8 processes on this machine, up in ${upMs} ms`);
    fact(
      'load',
      `${CALLERS.toLocaleString('en')} callers at once, one expired key, a rebuild of ${REBUILD_MS} ms`,
    );

    head('the key expires');
    await stampede('no protection', (_, key, origin) => recipe.unprotected(key, origin));
    await stampede(REDLOCK, (_, key, origin) => recipe.redlocked(key, origin));
    await withDibs(caller, askers);

    head(`and its holder is killed (lease ${LEASE_MS / 1000} s)`);
    const holding = HolderProcess.run('test/demo/redlock-holder.mjs', [
      'lost',
      String(LEASE_MS),
      ...nodeUrls,
    ]);
    await killed(REDLOCK, holding, (_, origin) => recipe.redlocked('lost', origin));
    await showKilled(first, askers);
  } finally {
    recipe.close();
    for (const one of [caller, ...askers]) one.close();
    await fleet.stop();
  }
}

async function showKilled({ target }: Replica, askers: readonly SessionAsker[]): Promise<void> {
  const holding = HolderProcess.run('test/support/session-holder.mjs', [
    ...[target, 'lost', String(LEASE_MS), 'session'],
  ]);
  await killed('Dibs', holding, (index, origin) =>
    getOrRebuild(askers[index % askers.length] as SessionAsker, 'lost', origin),
  );
}

async function showEmbedded(): Promise<void> {
  const replica = await Replica.start();
  onInterrupt(() => replica.kill());
  const caller = new Caller(replica.target);
  const asker = new SessionAsker(replica.target);
  try {
    await caller.connect();
    fact('fleet', 'no redis-server found: one replica that keeps everything in memory');
    fact(
      'load',
      `${CALLERS.toLocaleString('en')} callers at once, one expired key, a rebuild of ${REBUILD_MS} ms`,
    );
    head('the key expires');
    await stampede('no protection', async (_, key, origin) => {
      const startedAtMs = performance.now();
      const text = await origin.rebuild(key);
      return { key, text, tookMs: performance.now() - startedAtMs, busy: 0, whole: true };
    });
    await withDibs(caller, [asker]);
    head(`and its holder is killed (lease ${LEASE_MS / 1000} s)`);
    await showKilled(replica, [asker]);
  } finally {
    for (const one of [caller, asker]) one.close();
    await replica.kill();
  }
}

function onInterrupt(stop: () => Promise<unknown>): void {
  process.once('SIGINT', () => {
    void stop().finally(() => process.exit(130));
  });
}

title('Dibs', 'one caller rebuilds, everyone else gets its result');
const hasRedis = spawnSync('redis-server', ['--version']).status === 0;
await (hasRedis ? showQuorum() : showEmbedded());
console.log();
