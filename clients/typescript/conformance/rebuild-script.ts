import { setTimeout as sleep } from 'node:timers/promises';
import type { RebuildContext, StoreOptions } from '../src/options.js';

/** What a scenario defines for a rebuild. */
export interface RebuildScript {
  readonly after_ms?: number;
  /** Base64. */
  readonly value?: string;
  readonly absent?: boolean;
  /** This many bytes of `x`. */
  readonly size?: number;
  readonly fail?: string;
  readonly retry_after_ms?: number;
  readonly throws_badly?: boolean;
  readonly panics?: string;
  readonly gate?: string;
  readonly ignore_loss?: boolean;
  /** A call of its own, with the fields of get_or_rebuild. */
  readonly asks?: Readonly<Record<string, unknown>>;
  readonly ttl_ms?: number | string;
  readonly stale_ms?: number | string;
  readonly tags?: readonly string[];
  readonly do_not_store?: boolean;
}

/** What the source of a scenario throws. */
export class RebuildError extends Error {
  constructor(
    message: string,
    readonly retryAfterMs: number | undefined,
  ) {
    super(message);
  }
}

/** An error whose message cannot be read. */
export class UnreadableError extends Error {
  override get message(): string {
    throw new Error('the message cannot be read');
  }
}

/** Gates that rebuilds wait at, until the scenario opens them. */
export class Gates {
  readonly #gates = new Map<string, { readonly opened: Promise<void>; readonly open: () => void }>();

  of(name: string) {
    const known = this.#gates.get(name);
    if (known !== undefined) return known;
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const gate = { opened, open };
    this.#gates.set(name, gate);
    return gate;
  }
}

export const numberOf = (of: number | string | undefined): number | undefined =>
  of === undefined ? undefined : Number(of);

/** Does what the script says. `ask` makes a call of the rebuild's own. */
export async function follow(
  script: RebuildScript,
  gates: Gates,
  context: Pick<RebuildContext, 'signal' | 'storeWith' | 'doNotStore'>,
  ask: (fields: Readonly<Record<string, unknown>>) => Promise<Uint8Array | null>,
): Promise<Uint8Array | null> {
  const { signal } = context;
  const stopped = new Promise<never>((_, reject) => {
    if (script.ignore_loss !== true) signal.addEventListener('abort', () => reject(signal.reason));
  });
  stopped.catch(() => {});
  if (script.gate !== undefined) await Promise.race([gates.of(script.gate).opened, stopped]);
  if (script.after_ms !== undefined) await Promise.race([sleep(script.after_ms), stopped]);
  const asked = script.asks === undefined ? undefined : await ask(script.asks);
  if (script.fail !== undefined) throw new RebuildError(script.fail, script.retry_after_ms);
  if (script.throws_badly === true) throw new UnreadableError();
  if (script.panics !== undefined) throw script.panics;
  context.storeWith(storingOf(script));
  if (script.do_not_store === true) context.doNotStore();
  if (script.absent === true) return null;
  if (script.size !== undefined) return Buffer.alloc(script.size, 'x');
  if (script.value === undefined && asked !== undefined) return asked;
  return Buffer.from(script.value ?? '', 'base64');
}

function storingOf({ ttl_ms, stale_ms, tags }: RebuildScript): StoreOptions {
  return {
    ...(ttl_ms === undefined ? {} : { ttlMs: Number(ttl_ms) }),
    ...(stale_ms === undefined ? {} : { staleMs: Number(stale_ms) }),
    ...(tags === undefined ? {} : { tags }),
  };
}
