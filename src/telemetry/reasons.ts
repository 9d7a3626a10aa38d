import type { Degraded } from '../coordination/words/outcome.js';

/** Why the authorities do not serve, as last heard, for the log line about a degradation. */
export class Reasons {
  #store = '';
  readonly #nodes = new Map<string, string>();

  /** Empty: it serves. */
  storeIs(why: string): void {
    this.#store = why;
  }

  nodeIs(node: string, isVoting: boolean, why: string): void {
    if (isVoting) this.#nodes.delete(node);
    else this.#nodes.set(node, why);
  }

  of(mode: Degraded): string {
    const store = this.#store === '' ? 'no reply' : this.#store;
    const nodes = [...this.#nodes].map(([node, why]) => `${node}: ${why}`).join('; ');
    switch (mode) {
      case 'none':
        return '';
      case 'store_lost':
        return `value store: ${store}`;
      case 'quorum_lost':
        return `lock nodes: ${nodes === '' ? 'too few votes in time' : nodes}`;
      case 'local':
        return `value store: ${store}; lock nodes: ${nodes === '' ? 'too few votes in time' : nodes}`;
    }
  }
}
