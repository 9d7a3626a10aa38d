/** The result of one check. A fault keeps a replica from its work, or the fleet from its promises. */
export interface Finding {
  /** What was examined: `configuration`, `lock node HOST:PORT`, `value store`, … */
  readonly part: string;
  readonly check: string;
  readonly result: 'ok' | 'warning' | 'fault';
  /** What was found, why that matters, and what to do. */
  readonly detail: string;
}

export interface Diagnosis {
  readonly mode: 'embedded' | 'quorum';
  readonly findings: readonly Finding[];
}

/** The findings of one part, in the order in which they were made. */
export class Findings {
  readonly all: Finding[] = [];

  constructor(private readonly part: string) {}

  ok(check: string, detail: string): void {
    this.all.push({ part: this.part, check, result: 'ok', detail });
  }

  warning(check: string, detail: string): void {
    this.all.push({ part: this.part, check, result: 'warning', detail });
  }

  fault(check: string, detail: string): void {
    this.all.push({ part: this.part, check, result: 'fault', detail });
  }
}
