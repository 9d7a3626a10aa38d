import type { Chance } from '../coordination/ports/clock.js';
import {
  BEGUN_KEEP_MS,
  MARKS_MAX,
  type Mark,
  type NamespaceInvalidate,
  type NamespaceRecord,
  type NamespaceStore,
  type SlotRequest,
  STAMPS_MAX,
  type Stamp,
} from '../coordination/ports/namespace-store.js';
import { encodeTagClock, type TagClock } from '../coordination/words/tag-clock.js';
import type { StoreConnection } from './connection.js';
import { GatheredSteps } from './gathered-steps.js';
import { namespaceId, namespaceKey, slotsKey, stampOrderKey, WAKE_CHANNEL } from './keys.js';
import {
  beginNamespaceScript,
  enterScript,
  invalidateNamespaceScript,
  keepScript,
  leaveScript,
  readNamespaceScript,
} from './namespace-scripts.js';
import type { Script, ScriptArgument } from './script.js';

/** Where the stamps begin in the reply of namespace-read. */
const STAMPS_AT = 6;

/** Namespaces on Redis: one hash and two sorted sets for each, in one cluster slot. */
export class RedisNamespaceStore implements NamespaceStore {
  readonly #steps: GatheredSteps;

  constructor(
    private readonly connection: StoreConnection,
    private readonly chance: Chance,
    /** Of one namespace. */
    private readonly stampsMax = STAMPS_MAX,
  ) {
    this.#steps = new GatheredSteps(connection);
  }

  async read(namespace: string, tags: readonly string[], rebuildMs?: number): Promise<NamespaceRecord> {
    const args = {
      tags: JSON.stringify(tags),
      took_us: rebuildMs === undefined ? '' : Math.round(rebuildMs * 1000),
    };
    const reply = (await this.#steps.ask(readNamespaceScript, namespaceKey(namespace), args)) as
      | (Buffer | number | null)[]
      | null;
    if (reply === null) return { clock: '', keptForMs: 0, stamps: [] };
    const [id, at, mean, deviation, nowUs, keptForMs] = reply.map((field) =>
      field === null ? undefined : String(field),
    );
    const stamps: Stamp[] = [];
    for (let index = STAMPS_AT; index < reply.length; index += 2) {
      stamps.push(stampOf(reply[index], reply[index + 1], Number(nowUs)));
    }
    return {
      clock: encodeTagClock({ id: id ?? '', at: Number(at) }),
      keptForMs: Number(keptForMs),
      rebuild:
        mean === undefined
          ? undefined
          : { meanMs: Number(mean) / 1000, deviationMs: Number(deviation) / 1000 },
      stamps,
    };
  }

  async begin(namespace: string, keepMs: number): Promise<TagClock> {
    const [id, at] = (await this.#run(beginNamespaceScript, hashAndOrder(namespace), {
      fresh_id: this.chance.nonce(),
      keep_ms: Math.ceil(keepMs),
    })) as [Buffer, Buffer];
    return { id: id.toString(), at: Number(at.toString()) };
  }

  async invalidate(namespace: string, { tags, all, mode }: NamespaceInvalidate): Promise<TagClock> {
    const [id, at] = (await this.#run(invalidateNamespaceScript, hashAndOrder(namespace), {
      fresh_id: this.chance.nonce(),
      tags: JSON.stringify(all ? [] : tags),
      mode,
      stamps_max: this.stampsMax,
      marks_max: MARKS_MAX,
      keep_ms: BEGUN_KEEP_MS,
      channel: WAKE_CHANNEL,
      name: namespaceId(namespace),
    })) as [Buffer, number];
    return { id: id.toString(), at };
  }

  async enter(namespace: string, { slot, max, ttlMs, ttlMsMax }: SlotRequest): Promise<boolean> {
    const keys = { slots: slotsKey(namespace) };
    return (
      (await this.#run(enterScript, keys, {
        slot,
        max,
        ttl_ms: Math.ceil(ttlMs),
        ttl_ms_max: ttlMsMax,
      })) === 1
    );
  }

  async keep(namespace: string, slot: string, as: string, ttlMs: number): Promise<boolean> {
    const keys = { slots: slotsKey(namespace) };
    return (await this.#run(keepScript, keys, { slot, as, ttl_ms: Math.ceil(ttlMs) })) === 1;
  }

  async leave(namespace: string, slot: string): Promise<void> {
    const keys = { slots: slotsKey(namespace) };
    await this.#run(leaveScript, keys, { slot, channel: WAKE_CHANNEL, name: namespaceId(namespace) });
  }

  #run<K extends string, A extends string>(
    script: Script<K, A>,
    keys: Readonly<Record<K, string>>,
    args: Readonly<Record<A, ScriptArgument>>,
  ): Promise<unknown> {
    for (const key of Object.values<string>(keys)) this.#steps.sendBefore(key);
    return this.connection.call((client) => script.run(client, keys, args));
  }
}

type Field = Buffer | number | null | undefined;

function stampOf(deleted: Field, marks: Field, nowUs: number): Stamp {
  return {
    deletedAt: Number(deleted ?? 0),
    marks: String(marks ?? '')
      .split(',')
      .filter(Boolean)
      .map((mark) => markOf(mark, nowUs)),
  };
}

function markOf(text: string, nowUs: number): Mark {
  const [at, atUs] = text.split(':');
  // A clock that was set back must not extend anything.
  return { at: Number(at), agoMs: Math.max(0, (nowUs - Number(atUs)) / 1000) };
}

function hashAndOrder(namespace: string) {
  return { namespace: namespaceKey(namespace), order: stampOrderKey(namespace) };
}
