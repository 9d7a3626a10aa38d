import { MetricReader } from '@opentelemetry/sdk-metrics';

/** The SDK's own metric: spans that its processors have done with. A span that was not sent has an error's name. */
const PROCESSED = 'otel.sdk.processor.span.processed';
const ERROR = 'error.type';
const QUEUE_FULL = 'queue_full';

/** `dropped` before they were sent, because too many waited; `failed` by the collector, or on the way to it. */
const OUTCOMES = ['sent', 'failed', 'dropped'] as const;

/** Reads from the SDK what became of the spans, when it is asked. */
export class SpanCounts extends MetricReader {
  #last: ReadonlyMap<string, number> = new Map();
  #isOver = false;

  /** Counts since the start. After the SDK has been shut down, its last counts. */
  async counts(): Promise<ReadonlyMap<string, number>> {
    if (!this.#isOver) this.#last = await this.#read();
    return this.#last;
  }

  async #read(): Promise<ReadonlyMap<string, number>> {
    const { resourceMetrics } = await this.collect();
    const counts = new Map<string, number>(OUTCOMES.map((outcome) => [outcome, 0]));
    const metrics = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
    for (const { dataPoints } of metrics.filter(({ descriptor }) => descriptor.name === PROCESSED)) {
      for (const { attributes, value } of dataPoints) {
        const error = attributes[ERROR];
        const outcome = error === undefined ? 'sent' : error === QUEUE_FULL ? 'dropped' : 'failed';
        counts.set(outcome, (counts.get(outcome) ?? 0) + Number(value));
      }
    }
    return counts;
  }

  protected async onShutdown(): Promise<void> {
    this.#isOver = true;
  }

  /** Nothing is sent from here. */
  protected async onForceFlush(): Promise<void> {}
}
