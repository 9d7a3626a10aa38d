import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** What a script needs of an ioredis client; both `Redis` and `Cluster` have it. */
export interface ScriptClient {
  callBuffer(command: string, args: ScriptArgument[]): Promise<unknown>;
}

export type ScriptArgument = string | number | Buffer;

/** The names of a script's KEYS and ARGV, in the order in which the script numbers them. */
export interface ScriptSignature<K extends string, A extends string> {
  readonly keys: readonly K[];
  readonly args: readonly A[];
}

/**
 * One Lua script: `scripts/NAME.lua`, whose header is its manual, with the order of its KEYS and ARGV.
 * Callers give both by name, so that an argument can be neither forgotten nor swapped, and a test
 * holds the order to the header.
 */
export class Script<K extends string, A extends string> {
  readonly source: string;
  readonly sha1: string;
  readonly keys: readonly K[];
  readonly args: readonly A[];

  /** Reads the file at once, so that a missing one stops the start and not the first call. */
  constructor(
    readonly name: string,
    signature: ScriptSignature<K, A>,
  ) {
    const read = (path: string) => readFileSync(new URL(`./scripts/${path}.lua`, import.meta.url), 'utf8');
    // What several scripts share is in a separate part.
    this.source = read(name).replace(/^-- include: ([\w-]+)\n/gm, (_line, part) => read(`parts/${part}`));
    this.sha1 = createHash('sha1').update(this.source).digest('hex');
    this.keys = signature.keys;
    this.args = signature.args;
  }

  /** KEYS and then ARGV, as EVALSHA wants them after the sha1 and the number of keys. */
  inOrder(keys: Readonly<Record<K, string>>, args: Readonly<Record<A, ScriptArgument>>): ScriptArgument[] {
    const ordered: ScriptArgument[] = [];
    for (const name of this.keys) ordered.push(keys[name]);
    for (const name of this.args) ordered.push(args[name]);
    return ordered;
  }

  /** Runs the script from the node's cache. Rejects with NOSCRIPT if it is not there. */
  runCached(
    client: ScriptClient,
    keys: Readonly<Record<K, string>>,
    args: Readonly<Record<A, ScriptArgument>>,
  ): Promise<unknown> {
    return client.callBuffer('evalsha', [this.sha1, this.keys.length, ...this.inOrder(keys, args)]);
  }

  /**
   * As {@link runCached}, but sends the source along once if the node does not have it. Only for steps
   * that may arrive late: an EVAL that a lock node applies after the release leaves a lock behind.
   */
  async run(
    client: ScriptClient,
    keys: Readonly<Record<K, string>>,
    args: Readonly<Record<A, ScriptArgument>>,
  ): Promise<unknown> {
    try {
      return await this.runCached(client, keys, args);
    } catch (error) {
      if (!isNoScript(error)) throw error;
      return client.callBuffer('eval', [this.source, this.keys.length, ...this.inOrder(keys, args)]);
    }
  }
}

/** The node does not have the script: it restarted, or its scripts were flushed. */
export function isNoScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}
