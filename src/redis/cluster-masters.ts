import type { Cluster, Redis } from 'ioredis';

/**
 * ioredis connects to a master of a cluster with its first command, and refuses all others until that connection is
 * ready. So each master is connected to as soon as it is known, and what is refused meanwhile says nothing about the
 * store.
 */
export class ClusterMasters {
  /** Nodes whose first connection has neither been ready nor failed. */
  readonly #new = new Set<Redis>();

  constructor(private readonly cluster: Cluster) {
    cluster.on('ready', () => this.#connect());
    cluster.on('+node', (node: Redis) => {
      this.#note(node);
      // Behind the command that was redirected to it, which connects it too.
      queueMicrotask(() => this.#connect());
    });
    cluster.on('-node', (node: Redis) => this.#new.delete(node));
    for (const node of cluster.nodes('all')) this.#note(node);
  }

  /** The first connection to one of them is being made. */
  get areConnecting(): boolean {
    return [...this.#new].some(({ status }) => status === 'connecting' || status === 'connect');
  }

  #note(node: Redis): void {
    this.#new.add(node);
    for (const end of ['ready', 'close'] as const) node.once(end, () => this.#new.delete(node));
  }

  #connect(): void {
    if (this.cluster.status !== 'ready') return;
    for (const node of this.cluster.nodes('master')) {
      // It keeps trying by itself.
      if (node.status === 'wait') node.connect().catch(() => {});
    }
  }
}
