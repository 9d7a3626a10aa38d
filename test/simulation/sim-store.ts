import type {
  NamespaceInvalidate,
  NamespaceRecord,
  NamespaceStore,
  SlotRequest,
} from '../../src/coordination/ports/namespace-store.js';
import {
  type ArmReply,
  type ArmRequest,
  type HandOver,
  type ReadRequest,
  type StoredAnswer,
  type StoreExtend,
  type StoreExtended,
  type StoreInvalidate,
  type StoreInvalidated,
  type StorePublish,
  type StoreRelease,
  StoreUnavailable,
  type ValueStore,
} from '../../src/coordination/ports/value-store.js';
import type { NamespaceWake } from '../../src/coordination/ports/wake-channel.js';
import type { ReleaseOutcome } from '../../src/coordination/words/outcome.js';
import type {
  KeyRecord,
  MeasuredRecord,
  PastLease,
  RecordFacts,
} from '../../src/coordination/words/record.js';
import type { TagClock } from '../../src/coordination/words/tag-clock.js';
import * as seen from '../../src/memory/memory-record.js';
import { Namespaces } from '../../src/memory/namespaces.js';
import * as steps from '../../src/memory/record-steps.js';
import type { FirstStartClaim } from '../../src/quorum/first-start-claim.js';
import { Expiries } from './expiries.js';
import type { Change } from './old-values.js';
import type { SimLink } from './sim-link.js';
import type { SimProcess } from './sim-process.js';
import type { SimWakeChannel } from './sim-wake-channel.js';
import type { VirtualTime } from './virtual-time.js';

type Maybe = seen.MemoryRecord | undefined;

/** The events of the store that a world observes: each step, with the record before and after it. */
export interface StoreWitness {
  stepped(
    step: StoreStep,
    id: string,
    before: unknown,
    after: unknown,
    request: unknown,
    reply: unknown,
  ): Change | undefined;
  /** Tags of a namespace, or all of it, were invalidated. */
  stamped(namespace: string, request: NamespaceInvalidate): Change;
  /** A process has processed the wake of a change. */
  arrived(process: SimProcess, change: Change): void;
  /** A process has the store's answer to its own change. */
  answered(process: SimProcess, change: Change): void;
  /** Any answer of the store has reached a process. */
  heard(process: SimProcess): void;
  /** A process has noticed that its wake channel was lost or confirmed. */
  channel(process: SimProcess, what: 'disconnected' | 'confirmed'): void;
}

export type StoreStep = keyof ValueStore;

const CHANGING: ReadonlySet<StoreStep> = new Set(['publish', 'invalidate']);

/** The clock starts at a realistic date, as a real store's does. */
const EPOCH_MS = 1_800_000_000_000;

/** The value store as a process: the production steps over one map. */
export class SimStoreServer {
  readonly records = new Map<string, seen.MemoryRecord>();
  #clocksBegun = 0;
  readonly spaces = new Namespaces({ freshId: () => `clock${++this.#clocksBegun}` });
  up = true;
  /** Whether it has lost all data at least once. */
  lostAll = false;
  claimed = false;
  /** The names of the groups of lock nodes that have ever voted. */
  readonly claimedGroups = new Set<string>();
  /** Counts its lives. Connections end with a life, and so do the messages on them. */
  life = 1;
  #clockMs = 0;
  #stopped: (() => void)[] | undefined;
  readonly channels: SimWakeChannel[] = [];

  constructor(
    private readonly time: VirtualTime,
    readonly witness: StoreWitness,
  ) {}

  get nowMs(): number {
    return EPOCH_MS + this.time.nowMs + this.#clockMs;
  }

  get faulty(): boolean {
    return !this.up || this.#stopped !== undefined;
  }

  record(id: string): Maybe {
    return seen.alive(this.records.get(id), this.nowMs);
  }

  crash(): void {
    this.up = false;
    // Unread requests, and messages on their way, are lost with the process.
    this.life += 1;
    this.#stopped = undefined;
    for (const channel of this.channels) channel.goDown();
  }

  /** Restarts with its data, or empty. */
  restart(empty: boolean): void {
    if (empty) {
      this.records.clear();
      this.spaces.clear();
      this.claimed = false;
      this.claimedGroups.clear();
      this.lostAll = true;
    }
    this.up = true;
    for (const channel of this.channels) channel.comeBack();
  }

  /** Loses one record, as by an eviction or a mistake of an operator. */
  lose(id: string): void {
    this.records.delete(id);
  }

  stop(): void {
    this.#stopped ??= [];
  }

  goOn(): void {
    const waiting = this.#stopped ?? [];
    this.#stopped = undefined;
    for (const step of waiting) step();
  }

  /** Moves the clock forwards only, as when a clock is corrected. */
  jump(ms: number): void {
    this.#clockMs += ms;
  }

  heal(): void {
    this.goOn();
    if (!this.up) this.restart(false);
  }

  arrive(apply: () => void): void {
    if (!this.up) return;
    if (this.#stopped !== undefined) this.#stopped.push(apply);
    else apply();
  }

  take<T>(
    step: StoreStep,
    id: string,
    request: unknown,
    how: (record: Maybe, nowMs: number) => steps.Stepped<T>,
    changes?: Change[],
  ): T {
    const before = this.record(id);
    const { record, reply, wake } = how(before, this.nowMs);
    if (record === undefined) this.records.delete(id);
    else this.records.set(id, record);
    const change = this.witness.stepped(step, id, before, record, request, reply);
    if (change !== undefined) changes?.push(change);
    if (wake !== undefined) for (const channel of this.channels) channel.deliver({ id, ...wake }, change);
    return reply;
  }

  stamp(namespace: string, request: NamespaceInvalidate, changes: Change[]): TagClock {
    const clock = this.spaces.invalidate(namespace, request, this.nowMs);
    const change = this.witness.stamped(namespace, request);
    changes.push(change);
    const { tags, all } = request;
    this.tell({ namespace, kind: 'tags', wake: { clockId: clock.id, time: clock.at, tags, all } }, change);
    return clock;
  }

  tell(wake: NamespaceWake, change?: Change): void {
    for (const channel of this.channels) channel.deliverNamespace(wake, change);
  }
}

/** How long a replica waits for a reply. A lost reply is the same as a silent store. A fleet may set another time. */
export const STORE_CALL_MS_MAX = 300;

/** One replica's connection to the store. */
export class SimStoreLink implements ValueStore {
  /** The namespaces' part of the store, over the same connection. */
  readonly namespaces: NamespaceStore = {
    read: (name, tags, rebuildMs) =>
      this.#ask<NamespaceRecord>(() => this.server.spaces.read(name, tags, rebuildMs, this.#nowMs)),
    begin: (name, keepMs) => this.#ask(() => this.server.spaces.begin(name, keepMs, this.#nowMs)),
    invalidate: (name, request) => {
      const changes: Change[] = [];
      return this.#told(
        changes,
        this.#ask(() => this.server.stamp(name, request, changes)),
      );
    },
    enter: (name, request: SlotRequest) =>
      this.#ask(() => this.server.spaces.enter(name, request, this.#nowMs)),
    keep: (name, slot, as, ttlMs) =>
      this.#ask(() => this.server.spaces.keep(name, slot, as, ttlMs, this.#nowMs)),
    leave: async (name, slot) => {
      await this.#ask(() => {
        if (this.server.spaces.leave(name, slot)) this.server.tell({ namespace: name, kind: 'room' });
      });
    },
  };

  readonly #expiries: Expiries;

  constructor(
    private readonly server: SimStoreServer,
    private readonly process: SimProcess,
    readonly link: SimLink,
    private readonly time: VirtualTime,
    callMsMax: number,
  ) {
    this.#expiries = new Expiries(time, callMsMax, process.timers);
  }

  read(id: string, { known, sent }: ReadRequest = {}): Promise<KeyRecord> {
    sent?.();
    return this.#take('read', id, undefined, (record, nowMs) => ({
      record,
      reply: seen.read(record, nowMs, known),
    }));
  }

  arm(id: string, request: ArmRequest): Promise<ArmReply> {
    return this.#take('arm', id, request, (record, nowMs) => steps.arm(record, request, nowMs));
  }

  adopt(id: string, nonce: string, to?: HandOver): Promise<RecordFacts | undefined> {
    return this.#take('adopt', id, nonce, (record, nowMs) => steps.adopt(record, nonce, nowMs, to));
  }

  publish(id: string, request: StorePublish): Promise<StoredAnswer> {
    request.sent?.();
    return this.#take('publish', id, request, (record, nowMs) => steps.publish(record, request, nowMs));
  }

  release(id: string, request: StoreRelease): Promise<ReleaseOutcome> {
    return this.#take('release', id, request, (record, nowMs) => steps.release(record, request, nowMs));
  }

  extend(id: string, request: StoreExtend): Promise<StoreExtended> {
    return this.#take('extend', id, request, (record, nowMs) => steps.extend(record, request, nowMs));
  }

  invalidate(id: string, request: StoreInvalidate): Promise<StoreInvalidated> {
    return this.#take('invalidate', id, request, (record, nowMs) => steps.invalidate(record, request, nowMs));
  }

  explain(id: string): Promise<{ record: MeasuredRecord; past: readonly PastLease[] }> {
    return this.#take('explain', id, undefined, (record, nowMs) => ({
      record,
      reply: seen.explain(record, nowMs),
    }));
  }

  get #nowMs(): number {
    return this.server.nowMs;
  }

  /** The first-start claim of one group of lock nodes, or of the only one. */
  claimOf(group: string, isOnly: boolean): FirstStartClaim {
    const { server } = this;
    const claim = () => {
      const first = isOnly ? !server.claimed : !server.claimedGroups.has(group);
      server.claimed = true;
      server.claimedGroups.add(group);
      return first;
    };
    return { claimFirstStart: () => this.#ask(claim) };
  }

  #take<T>(
    step: StoreStep,
    id: string,
    request: unknown,
    how: (record: Maybe, nowMs: number) => steps.Stepped<T>,
  ): Promise<T> {
    if (!CHANGING.has(step)) return this.#ask(() => this.server.take(step, id, request, how));
    const changes: Change[] = [];
    return this.#told(
      changes,
      this.#ask(() => this.server.take(step, id, request, how, changes)),
    );
  }

  /** The changes of a step arrive at this process with the answer. */
  #told<T>(changes: readonly Change[], answering: Promise<T>): Promise<T> {
    const { process, server } = this;
    answering.then(
      () => {
        for (const change of changes) server.witness.answered(process, change);
      },
      () => {},
    );
    return answering;
  }

  #ask<T>(apply: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const { time, process, server, link } = this;
      const fail = (why: string) => process.run(() => reject(new StoreUnavailable(why)));
      if (!server.up) {
        time.at(time.nowMs + 1, () => fail('connection refused'), process.timers);
        return;
      }
      const expiry = this.#expiries.begin(() => fail('no reply in time'));
      const { life } = server;
      let reply: T;
      // Few closures, because a seed has a thousand of these.
      const answer = () => {
        expiry.expire = undefined;
        server.witness.heard(process);
        resolve(reply);
      };
      const answered = () => process.run(answer);
      const taken = () => {
        reply = apply();
        link.reply(answered);
      };
      link.send(() => {
        if (life === server.life) server.arrive(taken);
      });
    });
  }
}
