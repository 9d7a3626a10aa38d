import { AsyncResource } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { DibsClient } from '../src/client.js';
import { bytes, json } from '../src/codec.js';
import { Link } from '../src/link.js';
import {
  connectionOptions,
  type DibsClientOptions,
  type RebuildContext,
  type RebuildManyContext,
  type RebuildOptions,
} from '../src/options.js';
import { UnaryTransport } from '../src/unary-transport.js';
import { asProtoJson, get, type ManyScript, set, valuesOf } from './further-calls.js';
import { overhead } from './overhead.js';
import { rawCall } from './raw-call.js';
import { follow, Gates, numberOf, type RebuildScript } from './rebuild-script.js';

type Fields = Record<string, unknown>;

interface Open {
  readonly client: DibsClient;
  readonly unary: UnaryTransport;
}

/** The state of one scenario's actor: its clients, its open calls, and the gates of its rebuilds. */
export class Actor {
  readonly #clients = new Map<string, Open>();
  readonly #leaving = new Map<string, AbortController>();
  readonly #gates = new Gates();
  /** The context of no rebuild. */
  readonly #nowhere = new AsyncResource('a detached call');

  constructor(private readonly emit: (event: object) => void) {}

  async act(what: string, fields: Fields): Promise<object> {
    switch (what) {
      case 'open':
        return this.#open(fields);
      case 'close':
        this.#of(fields).client.close();
        this.#of(fields).unary.close();
        return {};
      case 'let':
        this.#gates.of(String(fields.gate)).open();
        return {};
      case 'cancel':
        this.#leaving.get(String(fields.call))?.abort();
        return {};
      case 'get_or_rebuild': {
        const value = await this.#getOrRebuild(fields);
        return { value: value === null ? null : value.toString('base64') };
      }
      case 'get':
        return this.#bounded(fields, ({ signal }) =>
          get(this.#of(fields).client, fields, { ...optionsOf(fields), signal }),
        );
      case 'set':
        return this.#bounded(fields, ({ signal }) =>
          set(this.#of(fields).client, fields, { ...optionsOf(fields), signal }),
        );
      case 'get_or_rebuild_many':
        return { values: base64ByKey(await this.#getOrRebuildMany(fields)) };
      case 'explain':
        return asProtoJson(await this.#of(fields).client.explain(String(fields.key)));
      case 'invalidate': {
        const { keysInvalidated, leasesVoided } = await this.#of(fields).client.invalidate(fields);
        return { keys_invalidated: keysInvalidated, leases_voided: leasesVoided };
      }
      case 'ready':
        return this.#of(fields)
          .client.ready({ timeoutMs: Number(fields.timeout_ms) })
          .then(
            () => ({ ready: true }),
            () => ({ ready: false }),
          );
      case 'flush':
        return { flushed: await this.#of(fields).client.flush({ timeoutMs: Number(fields.timeout_ms) }) };
      case 'show': {
        const { client } = this.#of(fields);
        return {
          text: [
            inspect(client, { depth: 20, showHidden: true }),
            JSON.stringify(client),
            String(client),
          ].join('\n'),
        };
      }
      case 'call':
        return this.#bounded(fields, ({ signal }, deadlineMs) =>
          rawCall(this.#of(fields).unary, String(fields.method), fields.request as object, {
            signal,
            deadlineMs,
          }),
        );
      case 'bench':
        return overhead(this.#of(fields).client, fields as never);
      default:
        throw new Error(`no such command: ${what}`);
    }
  }

  #open(fields: Fields): object {
    const { client: name, target, near_cache, token_file, token_function } = fields;
    const hook = (name: string) => (event: object) => this.emit({ event: 'hook', name, ...told(event) });
    const named = {
      ...{ target, token: fields.token, namespace: fields.namespace, holder: fields.holder },
      ...{ session: fields.session, onUnavailable: fields.on_unavailable, connectMs: fields.connect_ms },
      ...{ tlsCa: fields.tls_ca, tlsCert: fields.tls_cert, tlsKey: fields.tls_key, tokenFile: token_file },
      allowInsecureToken: fields.allow_insecure_token,
      keyAffinity: fields.key_affinity,
      leaseHoldMaxMs: fields.lease_hold_max_ms,
      nearCache: near_cache === true ? { maxBytes: 1_000_000 } : undefined,
      serveNearWhenUnavailable: fields.serve_near_when_unavailable,
      hooks: {
        onHit: hook('hit'),
        onWait: hook('wait'),
        onPublish: hook('publish'),
        onLeaseLost: hook('lease_lost'),
        onLocalRebuild: hook('local_rebuild'),
        onBackgroundError: hook('background_error'),
        onUndecodable: hook('undecodable'),
        onNotStorable: hook('not_storable'),
      },
    };
    if (token_function !== undefined) {
      named.token = () => readFileSync(String(token_function), 'utf8').trim();
    }
    const options: DibsClientOptions = Object.fromEntries(
      Object.entries(named).filter(([, value]) => value !== undefined),
    );
    const client = new DibsClient(options);
    const link = new Link(connectionOptions(options, {}));
    this.#clients.set(String(name), { client, unary: new UnaryTransport(link) });
    return {};
  }

  #of({ client }: Fields): Open {
    const open = this.#clients.get(String(client));
    if (open === undefined) throw new Error(`no client ${client}`);
    return open;
  }

  /** Ends when the scenario cancels the call. */
  async #bounded<T>(
    { call, deadline_ms }: Fields,
    run: (leave: AbortController, deadlineMs: number | undefined) => Promise<T>,
  ): Promise<T> {
    const leave = new AbortController();
    // A call from within a rebuild goes by the same name, and leaves by itself.
    if (call !== undefined && !this.#leaving.has(String(call))) this.#leaving.set(String(call), leave);
    return run(leave, deadline_ms as number | undefined);
  }

  #getOrRebuild(fields: Fields): Promise<Buffer | null> {
    const { key, call, codec } = fields as { key: string; call: string; codec?: string };
    const { client } = this.#of(fields);
    const scripts = [fields.rebuild].flat() as RebuildScript[];
    let runs = 0;
    return this.#bounded(fields, async (leave, deadlineMs) => {
      const { signal } = leave;
      // Not AbortSignal.any: on Node 20 a timeout's signal that only that knows may be collected before its time.
      const timer = deadlineMs === undefined ? undefined : setTimeout(() => leave.abort(), deadlineMs);
      const rebuild = (context: RebuildContext<Buffer>) => {
        const { reason, fence, previous } = context;
        const before = previous === undefined ? {} : { previous: previous?.toString('base64') ?? null };
        this.emit({ event: 'rebuild', call, reason, fence, ...before });
        context.signal.addEventListener('abort', () => {
          if (context.signal.reason?.name === 'LeaseLostError') this.emit({ event: 'lost', call });
        });
        const script = scripts[Math.min(runs, scripts.length - 1)] ?? {};
        runs += 1;
        return follow(script, this.#gates, context, (asked) =>
          this.#ask({ ...asked, call, client: fields.client }),
        );
      };
      const options = { ...optionsOf(fields), signal };
      try {
        if (codec !== 'json') return await client.getOrRebuild(key, rebuild, { ...options, codec: bytes() });
        const text = await client.getOrRebuild(
          key,
          async (context) => {
            const { previous } = context;
            const before = typeof previous === 'string' ? Buffer.from(previous) : previous;
            return (await rebuild({ ...context, previous: before }))?.toString() ?? null;
          },
          { ...options, codec: json<string>() },
        );
        return text === null ? null : Buffer.from(text);
      } catch (error) {
        // Its end does not matter: its caller had left.
        if (signal.aborted) throw new DOMException('the caller has left', 'AbortError');
        throw error;
      } finally {
        clearTimeout(timer);
      }
    });
  }

  #getOrRebuildMany(fields: Fields): Promise<ReadonlyMap<string, Buffer | string | null>> {
    const { keys, call } = fields as { keys: string[]; call: string };
    const { client } = this.#of(fields);
    const scripts = [fields.rebuild].flat() as (RebuildScript & ManyScript)[];
    let runs = 0;
    const rebuild = async (asked: string[], context: RebuildManyContext<unknown>) => {
      this.emit({ event: 'rebuild', call, keys: [...asked].sort() });
      const script = scripts[Math.min(runs, scripts.length - 1)] ?? {};
      runs += 1;
      const terms = { signal: context.signal, storeWith: () => {}, doNotStore: () => {} };
      await follow(script, this.#gates, terms, (asks) => this.#ask({ ...asks, call, client: fields.client }));
      return valuesOf(script, asked, context);
    };
    return this.#bounded(fields, async ({ signal }) => {
      const options = { ...optionsOf(fields), signal };
      try {
        if (fields.codec !== 'json')
          return await client.getOrRebuildMany(keys, rebuild, { ...options, codec: bytes() });
        const inText = async (asked: string[], context: RebuildManyContext<string>) =>
          new Map([...(await rebuild(asked, context))].map(([key, value]) => [key, value?.toString()]));
        return await client.getOrRebuildMany(keys, inText, { ...options, codec: json<string>() });
      } catch (error) {
        if (signal.aborted) throw new DOMException('the caller has left', 'AbortError');
        throw error;
      }
    });
  }

  /** A call from within a rebuild, or from where it cannot be seen. */
  #ask({ detached, ...fields }: Fields): Promise<Buffer | null> {
    return detached === true
      ? this.#nowhere.runInAsyncScope(() => this.#getOrRebuild(fields))
      : this.#getOrRebuild(fields);
  }
}

/** What a hook received, with the names that scenarios use. */
function told(event: object): object {
  const { key, outcome, freshness, source, counts, maybeStored } = event as Fields;
  return { key, outcome, freshness, source, counts, maybe_stored: maybeStored };
}

export function base64ByKey(values: ReadonlyMap<string, Buffer | string | null>): object {
  const entries = [...values].map(([key, value]) => [
    key,
    value === null ? null : Buffer.from(value).toString('base64'),
  ]);
  return Object.fromEntries(entries);
}

function optionsOf(fields: Fields): RebuildOptions {
  const named: Record<string, unknown> = {
    ttlMs: numberOf(fields.ttl_ms as string),
    staleMs: numberOf(fields.stale_ms as string),
    absentTtlMs: numberOf(fields.absent_ttl_ms as string),
    waitMs: numberOf(fields.wait_ms as string),
    leaseMs: numberOf(fields.lease_ms as string),
    onUnavailable: fields.on_unavailable,
    tags: fields.tags,
    stale: fields.stale,
    read: fields.read,
    refresh: fields.refresh,
    revalidate: fields.revalidate,
    staleIfError: fields.stale_if_error,
    traceparent: fields.traceparent,
    namespace: fields.namespace,
  };
  return Object.fromEntries(
    Object.entries(named).filter(([, value]) => value !== undefined),
  ) as unknown as RebuildOptions;
}
