import {
  DibsBusyError,
  DibsError,
  LeaseLostError,
  RebuildFailedError,
} from '../../clients/typescript/src/errors.js';
import type { RebuildOptions } from '../../clients/typescript/src/options.js';
import type { Key } from '../../src/coordination/words/key.js';
import { tagsOf } from './caller.js';
import { nonceIn } from './client-copies.js';
import type { Work } from './life.js';
import type { SimChance } from './sim-chance.js';
import { SimClient } from './sim-client.js';
import type { World } from './world.js';

/** Callers in one client. They join each other's calls. */
const CALLERS = 4;
const OPERATIONS = { min: 60, more: 60 };
const HINDRANCES_MAX = 6;

/** The error of a rebuild that fails. */
class NoSource extends Error {
  override readonly name = 'NoSource';
}

/** Starts clients with near caches, and the faults of their connections. Returns the clients, and when all is over. */
export function liveInClients(
  world: World,
  chance: SimChance,
): { clients: SimClient[]; over: Promise<unknown> } {
  const watched = chance.pick([['red'], ['red', 'blue']]);
  const clients = Array.from({ length: 1 + chance.below(2) }, (_, at) => {
    return new SimClient(`k${at}`, world, chance, watched);
  });
  const lives = clients.flatMap((client) => {
    const work = { left: OPERATIONS.min + chance.below(OPERATIONS.more) };
    return Array.from({ length: CALLERS }, () => liveIn(world, client, work));
  });
  const hindrances = clients.map((client) => hinder(world, client));
  return { clients, over: Promise.all([...lives, ...hindrances]) };
}

async function liveIn(world: World, client: SimClient, work: Work): Promise<void> {
  const { chance } = client;
  while (work.left > 0) {
    work.left -= 1;
    await world.sleep(chance.pick([0, 5, 50, 300, 1_000]) * chance.fraction());
    await new Promise<void>((resolve) => client.run(resolve));
    // Few keys, so that callers share them and the near cache keeps them.
    const key = world.keys[chance.pick([0, 0, 1, 3])] as Key;
    if (chance.hits(0.12)) await invalidate(world, client, key);
    else await ask(world, client, key);
  }
}

async function invalidate(world: World, client: SimClient, key: Key): Promise<void> {
  const { chance } = client;
  const { namespace } = key;
  const isByTag = chance.hits(0.4);
  const tags = isByTag ? chance.pick([['x'], ['y'], ['x', 'y'], []]) : [];
  const keys = isByTag ? [] : [key.key];
  const named = { namespace, keys, tags, all: isByTag && tags.length === 0 };
  const mode = chance.pick(['delete', 'mark_stale'] as const);
  world.say(() => `${client.name} invalidates ${JSON.stringify(named)}`, key.id);
  try {
    await client.client.invalidate({ ...named, mode });
  } catch (error) {
    if (!(error instanceof DibsError)) throw error;
  }
  client.copies.invalidated({ ...named, ids: isByTag ? [] : [key.id] });
}

function optionsOf({ chance }: SimClient): RebuildOptions {
  const waitMs = chance.pick([50, 500, 2_000, 4_000]);
  return {
    ttlMs: chance.pick([100, 1_000, 8_000, 8_000]),
    ...{ staleMs: chance.pick([0, 1_000]), waitMs },
    ...(chance.hits(0.5) ? { stale: 'forbid' as const } : {}),
    ...(chance.hits(0.05) ? { refresh: true } : {}),
    ...(chance.hits(0.05) ? { read: 'store' as const } : {}),
    ...(chance.hits(0.3) ? { revalidate: 'await' as const } : {}),
  };
}

async function ask(world: World, client: SimClient, key: Key): Promise<void> {
  const { chance, copies } = client;
  const { judge, time } = world;
  const { namespace, id } = key;
  const options = optionsOf(client);
  const came = { at: judge.now(), ms: time.nowMs };
  let ownNonce: string | undefined;
  const tell = (bytes: Uint8Array | null, isNear: boolean) => {
    if (bytes === null) return;
    const nonce = nonceIn(bytes);
    world.say(() => `${client.name} has ${nonce}${isNear ? ' from its memory' : ''}`, nonce);
    copies.given({ id, namespace, nonce, came, ownNonce, isNear, fresh: options.stale === 'forbid' });
  };
  const near = client.client.near(namespace, key.key, options);
  if (near !== undefined) return tell(near, true);
  world.say(() => `${client.name} asks for ${namespace}/${key.key} ${JSON.stringify(options)}`, id);
  const rebuild = async ({ fence, reason }: { readonly fence: number; readonly reason: string }) => {
    const nonce = reason === 'local' ? `local${chance.nonce()}` : copies.rebuilding(id, fence);
    if (reason === 'local') judge.oldValues.given(id, nonce);
    ownNonce = nonce;
    const tags = tagsOf(nonce);
    judge.oldValues.tagged(nonce, tags);
    await world.sleep(chance.pick([2, 20, 100, 600]) * (0.5 + chance.fraction()));
    await new Promise<void>((resolve) => client.run(resolve));
    if (chance.hits(0.05)) throw new NoSource('no source');
    if (reason === 'local') copies.rebuiltAlone(nonce, time.nowMs);
    return { bytes: Buffer.from(`${id} ${nonce}`), how: { store: true, tags } };
  };
  try {
    const { bytes } = await client.client.fetch({
      ...{ namespace, key: key.key, options, rebuild },
      onUnavailable: 'rebuild',
    });
    tell(bytes, false);
  } catch (error) {
    const isExpected = [DibsError, DibsBusyError, LeaseLostError, RebuildFailedError, NoSource].some(
      (kind) => error instanceof kind,
    );
    if (!isExpected)
      judge.violated('INV-9', `${id}: ${client.name}: a call ended with ${(error as Error).stack}`);
  }
}

/** Begins and ends faults of a client's connections and of its process. */
async function hinder(world: World, client: SimClient): Promise<void> {
  const { chance } = client;
  const longMs = () => chance.pick([50, 800, 3_500, 6_000]) * (0.5 + chance.fraction());
  for (let left = chance.below(HINDRANCES_MAX + 1); left > 0; left -= 1) {
    await world.sleep(chance.pick([50, 500, 2_000]) * chance.fraction());
    const kind = chance.pick(['stall', 'break', 'stall, then break', 'no streams', 'pause'] as const);
    world.say(() => `FAULT ${client.name} ${kind}`, kind);
    const { streams } = client;
    if (kind.startsWith('stall')) {
      for (const stream of streams) stream.stall();
      await world.sleep(longMs());
    }
    if (kind === 'pause') {
      client.pause();
      await world.sleep(longMs());
      client.resume();
    }
    if (kind === 'no streams') client.refusesStreams = true;
    if (kind === 'stall') for (const stream of streams) stream.flow();
    else if (kind !== 'pause') for (const stream of streams) stream.breakOff();
    if (kind === 'no streams') {
      await world.sleep(longMs());
      client.refusesStreams = false;
    }
    world.say(() => `HEALED ${client.name} ${kind}`, kind);
  }
}
