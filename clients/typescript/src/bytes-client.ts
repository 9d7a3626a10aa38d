import { randomInt } from 'node:crypto';
import { countAddresses } from './addresses.js';
import { Availability, type Warn } from './availability.js';
import { Background } from './background.js';
import { type CallOptions, Calls, checkInvalidate, type Invalidate } from './calls.js';
import { type Chance, SYSTEM_CHANCE } from './chance.js';
import { Changes } from './changes.js';
import { countUndecodable, type HitCount, hitsOf, instruments } from './client-metrics.js';
import { type Clock, SYSTEM_CLOCK } from './clock.js';
import type { Reads } from './codec.js';
import { DibsError } from './errors.js';
import { type Fetched, type FetchParts, WAIT_MS_ASKED_MAX } from './fetch-loop.js';
import { type FetchCall, Fetcher, type FindCall, mayJoin, never, type Taken } from './fetcher.js';
import { Flights } from './flights.js';
import { HeldLeases } from './held-leases.js';
import { bound, type Hooks, tell } from './hooks.js';
import { type ChannelLink, Link, type LinkOptions } from './link.js';
import { LocalRebuilds } from './local-rebuilds.js';
import { fetchMany, type ManyCall, type ManyFetched } from './many-fetch.js';
import { NearCache } from './near-cache.js';
import {
  checkNear,
  connectionOptions,
  type DibsClientOptions,
  defaultHolder,
  leaseHoldMaxMsOf,
  type RebuildOptions,
} from './options.js';
import type { Lease, Published } from './outcomes.js';
import { RunningRebuilds } from './running-rebuilds.js';
import { SessionOrUnary } from './session-or-unary.js';
import { SessionPool } from './session-pool.js';
import { SessionTransport, type SessionTransportOptions } from './session-transport.js';
import type { Transport } from './transport.js';
import { UnaryTransport } from './unary-transport.js';
import { publishUnder, type SetCall } from './write-through.js';

/** What a client needs of its machine. A simulation has its own. */
export interface Machine {
  readonly clock: Clock;
  readonly chance: Chance;
  /** Absent: Node's own warnings. */
  readonly warn?: Warn;
  linkOf(options: LinkOptions): ChannelLink;
  /** How many addresses a target has now. */
  countAddresses(target: string): Promise<number>;
}

const MACHINE: Machine = {
  clock: SYSTEM_CLOCK,
  chance: SYSTEM_CHANCE,
  linkOf: (options) => new Link(options),
  countAddresses,
};

/** The part of a client that holds copies and makes calls. Values are bytes, and the calls are already checked. */
export class BytesClient {
  readonly transport: Transport;
  readonly calls: Calls;
  readonly background: Background;
  readonly hooks: Hooks;
  readonly #namespace: string;
  readonly #changes: Changes;
  readonly #near: NearCache | undefined;
  readonly #nearHits: HitCount;
  readonly #parts: FetchParts;
  readonly #fetcher: Fetcher;

  /** Throws a {@link DibsError} for options that cannot work. */
  constructor(options: DibsClientOptions, machine: Machine = MACHINE) {
    const { namespace = '', holder = defaultHolder(), nearCache, hooks = {} } = options;
    checkNear(options);
    const { clock, chance } = machine;
    this.#namespace = namespace;
    // Counts exist even if this client only ever hits.
    instruments();
    this.#nearHits = hitsOf('near', 'fresh', namespace);
    this.#near = nearCache && new NearCache(nearCache, namespace, options.serveNearWhenUnavailable, clock);
    this.#changes = new Changes(this.#near?.namespaces, clock);
    if (this.#near !== undefined) this.#changes.tell(this.#near);
    const held = new HeldLeases();
    const connection = connectionOptions(options, process.env);
    const parts = { holder, held, near: this.#near, changes: this.#changes };
    this.transport = options.transport ?? transportOf(connection, options, parts, machine);
    this.calls = new Calls(this.transport, { namespace, holder });
    this.background = new Background(clock);
    this.hooks = bound(hooks);
    const local = new LocalRebuilds(clock);
    const back = () => {
      local.forget();
      this.#near?.serviceIsBack();
    };
    this.#parts = {
      ...{ calls: this.calls, hooks: this.hooks, held, local, near: this.#near, clock, chance },
      ...{ running: new RunningRebuilds(clock), background: this.background },
      flights: new Flights((namespace) => this.#changes.isWatched(namespace), clock),
      availability: new Availability(connection.target, back, machine.warn),
      leaseHoldMaxMs: leaseHoldMaxMsOf(options),
      waitMsMax: WAIT_MS_ASKED_MAX,
    };
    this.#fetcher = new Fetcher(this.#parts, this.#changes);
  }

  /** The fresh value in this process's memory, null for a known absence; undefined without one. */
  near(
    namespace: string,
    key: string,
    options: Pick<RebuildOptions, 'read' | 'refresh'>,
  ): Buffer | null | undefined {
    // Another kind of key is refused by name where it would be sent.
    if (this.#near === undefined || !mayJoin(options) || typeof key !== 'string') return undefined;
    const value = this.#near.get(namespace, key);
    if (value === undefined) return undefined;
    const hits = namespace === this.#namespace ? this.#nearHits : hitsOf('near', 'fresh', namespace);
    hits.value += 1;
    return value;
  }

  /** Reports that a codec cannot read a value. */
  undecodable(event: Parameters<NonNullable<Hooks['onUndecodable']>>[0]): void {
    tell(this.#parts.hooks.onUndecodable, event);
    countUndecodable(event.namespace);
  }

  fetch(call: FetchCall): Promise<Taken> {
    return this.#fetcher.fetch(call);
  }

  /** Rebuilds a value that the codec cannot read. `untilMs` is the end of a wait that began before. */
  refetch(call: FetchCall, reads: Reads, untilMs?: number): Promise<Taken> {
    return this.#fetcher.refetch(call, reads, untilMs);
  }

  fetchMany(call: ManyCall): ManyFetched {
    return fetchMany(this.#parts, this.#fetcher, call);
  }

  /** What is cached at the service; undefined if nothing is. */
  find(call: FindCall): Promise<Fetched | undefined> {
    return this.#fetcher.find(call);
  }

  /** Stores a value under its own lease, after a running rebuild. */
  async set(call: SetCall & Pick<FetchCall, 'options'>): Promise<Published> {
    const { namespace, key } = call;
    let published: Published | undefined;
    // Later callers get nothing older. This also applies if it may have failed.
    const changed = () => this.#changes.changed({ namespace, keys: [key], tags: [], all: false });
    const onLease = async (lease: Lease) => {
      try {
        published = await publishUnder(this.#parts, call, lease);
      } finally {
        changed();
      }
    };
    const options = { ...call.options, refresh: true };
    try {
      await this.#fetcher.alone({ ...call, options, rebuild: never, onUnavailable: 'fail' }, { onLease });
    } catch (error) {
      // Without a lease, too: its caller has changed the source, and reads again.
      changed();
      throw error;
    }
    if (published === undefined) throw new DibsError('INTERNAL', 'the answer to a refresh is not a lease');
    return published;
  }

  async invalidate(request: Invalidate, options?: CallOptions) {
    checkInvalidate(request);
    const { namespace = this.#namespace, all = false } = request;
    // Copies, because the caller may change its lists meanwhile.
    const [keys, tags] = [[...(request.keys ?? [])], [...(request.tags ?? [])]];
    try {
      return await this.calls.invalidate({ ...request, keys, tags }, options);
    } finally {
      // Not only when the service reports it: a caller that has invalidated reads again. Also if it may have failed.
      this.#changes.changed({ namespace, keys, tags, all });
    }
  }
}

interface TransportParts {
  readonly holder: string;
  readonly held: HeldLeases;
  readonly near: NearCache | undefined;
  readonly changes: Changes;
}

function transportOf(
  connection: ReturnType<typeof connectionOptions>,
  { session, keyAffinity = false }: Pick<DibsClientOptions, 'session' | 'keyAffinity'>,
  { holder, held, near, changes }: TransportParts,
  machine: Machine,
): Transport {
  const { clock } = machine;
  const link = machine.linkOf(connection);
  const unary = new UnaryTransport(link, near);
  if (session === false) return unary;
  const { connectMs, target } = connection;
  const leaseLost = ({ token }: { token: string }) => held.lost(token);
  const options: SessionTransportOptions = { clock, connectMs, holder, leaseLost, near, changes };
  const pool = new SessionPool({
    clock,
    // Random, so that a key that all processes want does not load one replica only.
    salt: keyAffinity ? 0 : randomInt(2 ** 32),
    create: (events) => new SessionTransport(link, { ...options, events }),
    countAddresses: () => machine.countAddresses(target),
  });
  return new SessionOrUnary(pool, unary, clock);
}
