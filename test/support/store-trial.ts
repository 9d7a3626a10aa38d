import type {
  ArmReply,
  ArmRequest,
  StorePublish,
  ValueStore,
} from '../../src/coordination/ports/value-store.js';
import type { Wake, WakeChannel, WokenValue } from '../../src/coordination/ports/wake-channel.js';
import { keyOf } from '../../src/coordination/words/key.js';
import type { Payload } from '../../src/coordination/words/outcome.js';
import type { KeyRecord } from '../../src/coordination/words/record.js';
import { until } from './until.js';

/** A value store under test, with its wake channel. */
export interface StoreUnderTest {
  readonly store: ValueStore;
  readonly channel: WakeChannel;
  /** Moves the store's clock. */
  pass(ms: number): Promise<void>;
  /** Wakes of one server arrive in the order in which they were sent. So many keys are on all servers; by default one. */
  readonly keysOnAll?: number;
  close(): Promise<void>;
}

/** Longer than any test: what lasts this long does not end during it. */
export const LONG_MS = 600_000;
/** Short, for what may end at any time. What must not end before a step needs a round of {@link SHORTS_MS}. */
export const SHORT_MS = 40;
/** Times in place of {@link SHORT_MS}, for `inRounds`. */
export const SHORTS_MS = [SHORT_MS, 10 * SHORT_MS, 50 * SHORT_MS];

/** The default lock nodes. */
const GROUP = 'these nodes';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

export const textValue = (text: string): Payload => ({ kind: 'value', bytes: bytesOf(text) });

export const ABSENT: Payload = { kind: 'absent' };

/** The text of a record's value, or 'absent', or undefined. */
export function textOf(record: KeyRecord): string | undefined {
  const payload = record.value?.payload;
  if (payload === undefined || payload.kind === 'absent') return payload?.kind;
  return new TextDecoder().decode(payload.bytes);
}

let ids = 0;

/** One key of a store under test, with short names for frequent steps. */
export class StoreTrial {
  readonly id = keyOf('trial', `key {${++ids}}:\n*`).id;
  readonly #wakes: Wake[] = [];
  readonly #stopListening: () => void;

  constructor(readonly under: StoreUnderTest) {
    this.#stopListening = under.channel.listen({
      wake: (wake) => this.#wakes.push(wake),
      namespaceWake() {},
      resubscribed() {},
      disconnected() {},
    });
  }

  /** Another key of the same store. */
  another(): StoreTrial {
    return new StoreTrial(this.under);
  }

  get store(): ValueStore {
    return this.under.store;
  }

  read(): Promise<KeyRecord> {
    return this.store.read(this.id);
  }

  /** Reads, then arms as a replica does. `request` overrides what it read. */
  async arm(nonce: string, request: Partial<ArmRequest> = {}): Promise<ArmReply> {
    return this.armAsRead(await this.read(), nonce, request);
  }

  /** Arms for a caller that read this. */
  armAsRead(
    { fence, valueFence }: Pick<KeyRecord, 'fence' | 'valueFence'>,
    nonce: string,
    request: Partial<ArmRequest> = {},
  ): Promise<ArmReply> {
    return this.store.arm(this.id, {
      nonce,
      expiresInMs: LONG_MS,
      leaseMs: LONG_MS,
      fenceRead: fence,
      valueFenceRead: valueFence,
      quorumLost: false,
      group: GROUP,
      silenceMs: 0,
      holder: 'a holder',
      traceparent: '',
      requestKey: '',
      reason: 'miss',
      clock: 'clock.1',
      keepMs: LONG_MS,
      ...request,
    });
  }

  /** Publishes. Returns the outcome and the fence. */
  async publish(nonce: string, request: Partial<StorePublish> = {}) {
    const { clock: _clock, ...answer } = await this.publishWithClock(nonce, request);
    return answer;
  }

  publishWithClock(nonce: string, request: Partial<StorePublish> = {}) {
    return this.store.publish(this.id, {
      nonce,
      fence: 0,
      payload: textValue('a value'),
      ttlMs: LONG_MS,
      staleMs: 0,
      tags: [],
      keepMs: LONG_MS,
      ...request,
    });
  }

  /** Arms and publishes. Returns the fence of the stored value. */
  async stored(nonce: string, request: Partial<StorePublish> = {}): Promise<number> {
    await this.arm(nonce);
    return (await this.publish(nonce, request)).fence;
  }

  release(nonce: string, owner?: number) {
    const whose = owner === undefined ? {} : { owner };
    return this.store.release(this.id, { nonce, end: 'released', keepMs: LONG_MS, ...whose });
  }

  fail(nonce: string, backoff: { retryAfterMs?: number; backoffMs?: number; backoffMsMax?: number } = {}) {
    const failure = { message: `${nonce} failed`, backoffMs: 100_000, backoffMsMax: 300_000, ...backoff };
    return this.store.release(this.id, { nonce, end: 'failed', failure, keepMs: LONG_MS });
  }

  extend(nonce: string, expiresInMs: number, quorumLost = false, group = GROUP) {
    return this.store.extend(this.id, {
      nonce,
      expiresInMs,
      holdMs: 86_400_000,
      quorumLost,
      group,
      keepMs: LONG_MS,
    });
  }

  invalidate(mode: 'delete' | 'mark_stale' = 'delete') {
    return this.store.invalidate(this.id, { mode, keepMs: LONG_MS });
  }

  /** The wakes of this key so far: all have arrived once a later wake of each server has. */
  async wakes(): Promise<Pick<Wake, 'kind' | 'fence'>[]> {
    return (await this.#ownWakes()).map(({ kind, fence }) => ({ kind, fence }));
  }

  /** The value that each of these wakes carries. */
  async wokenValues(): Promise<(WokenValue | undefined)[]> {
    return (await this.#ownWakes()).map(({ stored }) => stored?.());
  }

  async #ownWakes(): Promise<Wake[]> {
    const { keysOnAll = 1 } = this.under;
    const markers = Array.from({ length: keysOnAll }, () => keyOf('trial', `marker ${++ids}`).id);
    await Promise.all(markers.map((id) => this.store.invalidate(id, { mode: 'delete', keepMs: 1 })));
    await until(() => markers.every((marker) => this.#wakes.some(({ id }) => id === marker)));
    return this.#wakes.filter(({ id }) => id === this.id);
  }

  close(): void {
    this.#stopListening();
  }
}
