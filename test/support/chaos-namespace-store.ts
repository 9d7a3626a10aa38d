import type { NamespaceStore } from '../../src/coordination/ports/namespace-store.js';
import { type Gate, Gates } from './gates.js';

/** The chaos twin of a namespace store. It is down while its server is. */
export class ChaosNamespaceStore implements NamespaceStore {
  /** The requested steps, in order. */
  readonly asked: (keyof NamespaceStore)[] = [];

  readonly #before = new Gates<keyof NamespaceStore>();

  constructor(
    private readonly real: NamespaceStore,
    private readonly server: { reached(): Promise<void> },
  ) {}

  readonly read: NamespaceStore['read'] = (...to) => this.#take('read', () => this.real.read(...to));
  readonly begin: NamespaceStore['begin'] = (...to) => this.#take('begin', () => this.real.begin(...to));
  readonly invalidate: NamespaceStore['invalidate'] = (...to) =>
    this.#take('invalidate', () => this.real.invalidate(...to));
  readonly enter: NamespaceStore['enter'] = (...to) => this.#take('enter', () => this.real.enter(...to));
  readonly keep: NamespaceStore['keep'] = (...to) => this.#take('keep', () => this.real.keep(...to));
  readonly leave: NamespaceStore['leave'] = (...to) => this.#take('leave', () => this.real.leave(...to));

  /** Holds the next such step on its way to the store. */
  holdBefore(step: keyof NamespaceStore): Gate {
    return this.#before.close(step);
  }

  countOf(step: keyof NamespaceStore): number {
    return this.asked.filter((asked) => asked === step).length;
  }

  async #take<T>(step: keyof NamespaceStore, real: () => Promise<T>): Promise<T> {
    this.asked.push(step);
    await this.#before.pass(step);
    await this.server.reached();
    return real();
  }
}
