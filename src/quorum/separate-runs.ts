/**
 * Which lock node speaks for which run of a Redis. Two addresses may lead to one Redis (127.0.0.1 and localhost, an
 * alias, a load balancer): counted twice, it would refuse itself each lock that it has just given, and every attempt
 * would end undecided. So only the first of them votes.
 */
export class SeparateRuns {
  /** The name of the node, by run. */
  readonly #nodes = new Map<string, string>();

  /** The node that already speaks for this run; undefined if that is now `node`. */
  claim(run: string, node: string): string | undefined {
    const before = this.#nodes.get(run);
    if (before !== undefined && before !== node) return before;
    this.leave(node);
    this.#nodes.set(run, node);
    return undefined;
  }

  /** The node has no connection any more. */
  leave(node: string): void {
    for (const [run, name] of this.#nodes) if (name === node) this.#nodes.delete(run);
  }
}
