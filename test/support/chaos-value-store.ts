import { type Missing, StoreUnavailable, type ValueStore } from '../../src/coordination/ports/value-store.js';
import { type Gate, Gates } from './gates.js';

export type StoreStep = keyof ValueStore;

/** The chaos twin of a value store. It can be down, lose replies, or hold a step before or after it is taken. */
export class ChaosValueStore implements ValueStore {
  /** While true, no step is taken. */
  down = false;
  /** Why the store does not answer while it is down. */
  missing: Missing = 'gone';
  /** Whether, while it is down, its errors say that the step was not taken. */
  untaken = false;
  #resumed: Promise<void> | undefined;
  #resume = () => {};
  /** Steps of these names are taken, but their replies are lost. */
  readonly losesRepliesTo = new Set<StoreStep>();
  /** The requested steps, in order. */
  readonly asked: StoreStep[] = [];
  /** The known fence that each read carried. */
  readonly known: (number | undefined)[] = [];
  readonly #turns = new Gates<'read' | 'publish'>();
  readonly #before = new Gates<StoreStep>();
  readonly #after = new Gates<StoreStep>();

  constructor(private readonly real: ValueStore) {}

  /** Holds the next such step before it is sent. */
  holdTurn(step: 'read' | 'publish'): Gate {
    return this.#turns.close(step);
  }

  /** Holds the next such step on its way to the store. */
  holdBefore(step: StoreStep): Gate {
    return this.#before.close(step);
  }

  /** Holds the reply of the next such step. */
  holdAfter(step: StoreStep): Gate {
    return this.#after.close(step);
  }

  /** Delays every step until {@link resume}. */
  hang(): void {
    this.#resumed = new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  resume(): void {
    this.#resumed = undefined;
    this.#resume();
  }

  /** Resolves when the server takes the step. Rejects if it is down. */
  async reached(): Promise<void> {
    await this.#resumed;
    if (!this.down) return;
    throw new StoreUnavailable('the store is down', { how: this.missing, untaken: this.untaken });
  }

  countOf(step: StoreStep): number {
    return this.asked.filter((asked) => asked === step).length;
  }

  /** Sent at once, then held on its way. */
  readonly read: ValueStore['read'] = (id, { known, sent } = {}) => {
    const send = () => {
      sent?.();
      this.known.push(known?.fence);
      return this.#take('read', () => this.real.read(id, { known }));
    };
    return this.#turns.atGate('read')?.then(send) ?? send();
  };
  readonly arm: ValueStore['arm'] = (...to) => this.#take('arm', () => this.real.arm(...to));
  readonly adopt: ValueStore['adopt'] = (...to) => this.#take('adopt', () => this.real.adopt(...to));
  readonly publish: ValueStore['publish'] = (id, { sent, ...request }) => {
    const send = () => {
      sent?.();
      return this.#take('publish', () => this.real.publish(id, request));
    };
    return this.#turns.atGate('publish')?.then(send) ?? send();
  };
  readonly release: ValueStore['release'] = (...to) => this.#take('release', () => this.real.release(...to));
  readonly extend: ValueStore['extend'] = (...to) => this.#take('extend', () => this.real.extend(...to));
  readonly explain: ValueStore['explain'] = (...to) => this.#take('explain', () => this.real.explain(...to));
  readonly invalidate: ValueStore['invalidate'] = (...to) =>
    this.#take('invalidate', () => this.real.invalidate(...to));

  async #take<T>(step: StoreStep, real: () => Promise<T>): Promise<T> {
    this.asked.push(step);
    await this.#before.pass(step);
    await this.reached();
    const reply = await real();
    await this.#after.pass(step);
    if (this.losesRepliesTo.has(step)) throw new StoreUnavailable('the reply was lost');
    return reply;
  }
}
