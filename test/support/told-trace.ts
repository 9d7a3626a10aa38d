import type { Facts, Span, SpanName, Trace } from '../../src/coordination/words/trace.js';

/** A recorded step. */
export interface ToldStep {
  readonly name: SpanName;
  readonly facts: Facts;
  readonly pointsTo: readonly string[];
  readonly parts: readonly SpanName[];
  readonly ended: boolean;
  /** How long before the report the step had ended, in milliseconds. */
  readonly endedAgoMs: number;
}

/** A trace that records what it receives. */
export class ToldTrace implements Trace {
  readonly traceparent: string;
  readonly steps: ToldStep[] = [];
  facts: Facts = {};
  statusCode: number | undefined;

  constructor(readonly name: string) {
    this.traceparent = `trace of ${name}`;
  }

  get names(): string[] {
    return this.steps.map(({ name }) => name);
  }

  step(name: SpanName): ToldStep {
    const found = this.steps.find((step) => step.name === name);
    if (found === undefined) throw new Error(`${this.name} was not told of '${name}', but of ${this.names}`);
    return found;
  }

  begin(name: SpanName, facts: Facts = {}): Span {
    const step = {
      name,
      facts,
      pointsTo: [] as string[],
      parts: [] as SpanName[],
      ended: false,
      endedAgoMs: 0,
    };
    this.steps.push(step);
    return {
      traceparent: `${name} of ${this.name}`,
      part: (part) => step.parts.push(part),
      pointTo: (traceparent) => step.pointsTo.push(traceparent),
      end: (more = {}, endedAgoMs = 0) => {
        if (step.ended) throw new Error(`'${name}' of ${this.name} ended twice`);
        Object.assign(step, { ended: true, endedAgoMs, facts: { ...step.facts, ...more } });
      },
    };
  }

  about(): void {}

  know(facts: Facts): void {
    this.facts = { ...this.facts, ...facts };
  }

  end(statusCode: number): void {
    this.statusCode ??= statusCode;
  }
}
