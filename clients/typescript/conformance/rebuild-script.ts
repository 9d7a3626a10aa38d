import { setTimeout as sleep } from 'node:timers/promises';

/** What a scenario says of a rebuild. */
export interface RebuildScript {
  readonly after_ms?: number;
  /** Base64. */
  readonly value?: string;
  readonly absent?: boolean;
  /** So many bytes of `x`. */
  readonly size?: number;
  readonly fail?: string;
  readonly retry_after_ms?: number;
  readonly gate?: string;
  readonly ignore_loss?: boolean;
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

/** Does what the script says. */
export async function follow(
  script: RebuildScript,
  gates: Gates,
  signal: AbortSignal,
): Promise<Uint8Array | null> {
  const stopped = new Promise<never>((_, reject) => {
    if (script.ignore_loss !== true) signal.addEventListener('abort', () => reject(signal.reason));
  });
  stopped.catch(() => {});
  if (script.gate !== undefined) await Promise.race([gates.of(script.gate).opened, stopped]);
  if (script.after_ms !== undefined) await Promise.race([sleep(script.after_ms), stopped]);
  if (script.fail !== undefined) throw new RebuildError(script.fail, script.retry_after_ms);
  if (script.absent === true) return null;
  if (script.size !== undefined) return Buffer.alloc(script.size, 'x');
  return Buffer.from(script.value ?? '', 'base64');
}
