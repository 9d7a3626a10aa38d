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
    this.source = this.assemble(read(name));
    this.sha1 = createHash('sha1').update(this.source).digest('hex');
    this.keys = signature.keys;
    this.args = signature.args;
  }

  /** The part of the file that is sent. */
  protected assemble(text: string): string {
    return text.replace(INCLUDE, (_line, part) => read(`parts/${part}`));
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
  run(
    client: ScriptClient,
    keys: Readonly<Record<K, string>>,
    args: Readonly<Record<A, ScriptArgument>>,
  ): Promise<unknown> {
    return this.send(client, [this.keys.length, ...this.inOrder(keys, args)]);
  }

  protected async send(client: ScriptClient, ordered: ScriptArgument[]): Promise<unknown> {
    try {
      return await client.callBuffer('evalsha', [this.sha1, ...ordered]);
    } catch (error) {
      if (!isNoScript(error)) throw error;
      return client.callBuffer('eval', [this.source, ...ordered]);
    }
  }
}

/**
 * A script that runs any number of steps in one call, each with its own key. The file contains one step; the parts that
 * it includes exist once for all steps, so they must not use KEYS or ARGV. The reply has an entry for each step, which
 * is an error if that step failed.
 */
export class GatheredScript<A extends string> extends Script<string, A> {
  /** The arguments of one step, in the order of its header. */
  argsOf(args: Readonly<Record<A, ScriptArgument>>): ScriptArgument[] {
    const ordered: ScriptArgument[] = [];
    for (const name of this.args) ordered.push(args[name]);
    return ordered;
  }

  /** As {@link run}, for all steps: `args` has those of the first key, then those of the second. */
  runAll(client: ScriptClient, keys: readonly string[], args: readonly ScriptArgument[]): Promise<unknown> {
    return this.send(client, [keys.length, ...keys, ...args]);
  }

  protected override assemble(text: string): string {
    const parts = [...text.matchAll(INCLUDE)].map(([, part]) => read(`parts/${part}`));
    const step = text.replace(INCLUDE, '');
    return `${parts.join('')}local function step(KEYS, ARGV)\n${step}end\n${read('parts/each')}`;
  }
}

/** What several scripts share is in a separate part. */
const INCLUDE = /^-- include: ([\w-]+)\n/gm;

function read(path: string): string {
  return readFileSync(new URL(`./scripts/${path}.lua`, import.meta.url), 'utf8');
}

/** The node does not have the script: it restarted, or its scripts were flushed. */
export function isNoScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}
