/**
 * Which lock node votes for which run of a Redis. Two addresses may lead to one Redis (127.0.0.1 and localhost, an
 * alias, a load balancer). If it were counted twice, it would refuse itself each lock that it has just granted, and
 * every attempt would end undecided. So only the first address votes.
 *
 * A value store that is also a lock node is reported. It may vote: that is safe, but both fail together.
 */
export class SeparateRuns {
  /** The name of the node, by run. */
  readonly #nodes = new Map<string, string>();
  readonly #storeRuns = new Set<string>();
  /** Runs already reported. */
  readonly #told = new Set<string>();

  constructor(private readonly sharesStore: (node: string) => void = () => {}) {}

  /** The value store has answered as this run. A cluster has several. */
  storeIs(run: string): void {
    this.#storeRuns.add(run);
    this.#compare(run);
  }

  /** The node that already speaks for this run; undefined if that is now `node`. */
  claim(run: string, node: string): string | undefined {
    const before = this.#nodes.get(run);
    if (before === node) return undefined;
    if (before !== undefined) return before;
    this.leave(node);
    this.#nodes.set(run, node);
    this.#compare(run);
    return undefined;
  }

  /** The node has lost its connection. */
  leave(node: string): void {
    for (const [run, name] of this.#nodes) if (name === node) this.#nodes.delete(run);
  }

  #compare(run: string): void {
    const node = this.#nodes.get(run);
    if (node === undefined || !this.#storeRuns.has(run) || this.#told.has(run)) return;
    this.#told.add(run);
    this.sharesStore(node);
  }
}
