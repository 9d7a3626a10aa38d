import { DibsClient } from '../src/client.js';
import { Link } from '../src/link.js';
import type { RebuildOptions } from '../src/options.js';
import { UnaryTransport } from '../src/unary-transport.js';
import { overhead } from './overhead.js';
import { rawCall } from './raw-call.js';
import { follow, Gates, type RebuildScript } from './rebuild-script.js';

type Fields = Record<string, unknown>;

interface Open {
  readonly client: DibsClient;
  readonly unary: UnaryTransport;
}

/** What one scenario's actor has: its clients, the calls that are open, and the gates of its rebuilds. */
export class Actor {
  readonly #clients = new Map<string, Open>();
  readonly #leaving = new Map<string, AbortController>();
  readonly #gates = new Gates();

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
      case 'get_or_rebuild':
        return this.#getOrRebuild(fields);
      case 'call':
        return this.#bounded(fields, (signal, deadlineMs) =>
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
    const { client: name, target, namespace, holder, token, session, on_unavailable, connect_ms } = fields;
    const hook = (name: string) => (event: { key: string; outcome?: string }) =>
      this.emit({ event: 'hook', name, key: event.key, outcome: event.outcome });
    const options = {
      ...{ target, namespace, holder, token, session, onUnavailable: on_unavailable, connectMs: connect_ms },
      hooks: {
        onHit: hook('hit'),
        onWait: hook('wait'),
        onPublish: hook('publish'),
        onLeaseLost: hook('lease_lost'),
        onLocalRebuild: hook('local_rebuild'),
        onBackgroundError: hook('background_error'),
      },
    };
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    const link = new Link({
      target: String(target),
      token: typeof token === 'string' ? token : '',
      tlsCa: '',
      connectMs: typeof connect_ms === 'number' ? connect_ms : 2_000,
    });
    this.#clients.set(String(name), { client: new DibsClient(given), unary: new UnaryTransport(link) });
    return {};
  }

  #of({ client }: Fields): Open {
    const open = this.#clients.get(String(client));
    if (open === undefined) throw new Error(`no client ${client}`);
    return open;
  }

  /** Ends when the scenario cancels the call, or its own deadline has come. */
  async #bounded<T>(
    { call, deadline_ms }: Fields,
    run: (signal: AbortSignal, deadlineMs: number | undefined) => Promise<T>,
  ): Promise<T> {
    const leave = new AbortController();
    if (call !== undefined) this.#leaving.set(String(call), leave);
    return run(leave.signal, deadline_ms as number | undefined);
  }

  #getOrRebuild(fields: Fields): Promise<object> {
    const { key, call, rebuild: script } = fields as { key: string; call: string; rebuild: RebuildScript };
    return this.#bounded(fields, async (left, deadlineMs) => {
      const signal =
        deadlineMs === undefined ? left : AbortSignal.any([left, AbortSignal.timeout(deadlineMs)]);
      try {
        const value = await this.#of(fields).client.getOrRebuild(
          key,
          async (context) => {
            const { reason, fence, previous } = context;
            const before = previous === undefined ? {} : { previous: previous?.toString('base64') ?? null };
            this.emit({ event: 'rebuild', call, reason, fence, ...before });
            context.signal.addEventListener('abort', () => {
              if (context.signal.reason?.name === 'LeaseLostError') this.emit({ event: 'lost', call });
            });
            return follow(script, this.#gates, context.signal);
          },
          { ...optionsOf(fields), signal },
        );
        return { value: value === null ? null : value.toString('base64') };
      } catch (error) {
        // Whatever it ended with, its caller had left.
        if (signal.aborted) throw new DOMException('the caller has left', 'AbortError');
        throw error;
      }
    });
  }
}

function optionsOf(fields: Fields): RebuildOptions {
  const named: Record<string, unknown> = {
    ttlMs: fields.ttl_ms,
    staleMs: fields.stale_ms,
    absentTtlMs: fields.absent_ttl_ms,
    waitMs: fields.wait_ms,
    leaseMs: fields.lease_ms,
    onUnavailable: fields.on_unavailable,
    tags: fields.tags,
    stale: fields.stale,
    read: fields.read,
    refresh: fields.refresh,
    revalidate: fields.revalidate,
    traceparent: fields.traceparent,
    namespace: fields.namespace,
  };
  return Object.fromEntries(
    Object.entries(named).filter(([, value]) => value !== undefined),
  ) as unknown as RebuildOptions;
}
