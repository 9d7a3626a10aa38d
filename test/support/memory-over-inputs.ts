import { memoryOf } from './memory-of.js';

const SAMPLES = 10;
/** Node grows its heap at first. */
const WHOLE_MAX = 300 * 1_048_576;
const SECOND_HALF_MAX = 100 * 1_048_576;

/** The memory of a process while it gets many inputs. */
export class MemoryOverInputs {
  readonly #bytes: number[];

  constructor(
    private readonly pid: number,
    private readonly inputs: number,
  ) {
    this.#bytes = [memoryOf(pid)];
  }

  /** Call it with the number of inputs so far. */
  at(inputs: number): void {
    if (inputs >= (this.#bytes.length * this.inputs) / SAMPLES) this.#bytes.push(memoryOf(this.pid));
  }

  get isFlat(): boolean {
    const [first = 0, half = 0, last = 0] = [0, SAMPLES / 2, SAMPLES].map((at) => this.#bytes[at]);
    return last - first < WHOLE_MAX && last - half < SECOND_HALF_MAX;
  }

  /** For display. */
  get text(): string {
    return `memory in MiB: ${this.#bytes.map((bytes) => Math.round(bytes / 1_048_576)).join(', ')}`;
  }
}
