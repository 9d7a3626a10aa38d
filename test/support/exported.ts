/** The metrics that a replica exports: the labels of each sample, and the values of each label. */
export class Exported {
  readonly #metrics = new Map<string, Map<string, Set<string>>>();

  /** Adds the samples of one scrape. */
  note(scrape: string): void {
    for (const line of scrape.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      const [, name, pairs = ''] = /^([a-z_]+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
      if (name === undefined) throw new Error(`not a sample: ${line}`);
      const labels = this.#metrics.get(name) ?? new Map<string, Set<string>>();
      this.#metrics.set(name, labels);
      for (const [, label = '', value = ''] of pairs.matchAll(/([a-z_]+)="([^"]*)"/g)) {
        labels.set(label, (labels.get(label) ?? new Set()).add(value));
      }
    }
  }

  has(metric: string): boolean {
    return this.#metrics.has(metric);
  }

  labelsOf(metric: string): readonly string[] {
    return [...(this.#metrics.get(metric)?.keys() ?? [])];
  }

  valuesOf(metric: string, label: string): ReadonlySet<string> {
    return this.#metrics.get(metric)?.get(label) ?? new Set();
  }
}
