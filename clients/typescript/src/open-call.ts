import type { Tick, Timed } from './deadlines.js';
import { DibsError } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';

export type Response = NonNullable<wire.SessionReply['response']>;

/** The content of a response of this kind. */
export type Of<Case extends Response['$case']> = Extract<Response, { $case: Case }>['value'];

/** What the caller waits for, and how it gets it. */
export interface Caller {
  readonly expected: Response['$case'];
  readonly answered: (value: unknown) => void;
  readonly failed: (error: DibsError) => void;
  /** Receives each answer but the last, if there are several. */
  readonly more: ((value: unknown) => void) | undefined;
}

/** A call whose answer has not come. */
export class OpenCall<Line> implements Timed {
  tick: Tick | undefined;
  place = 0;
  /** Called when it has ended, in any way. */
  onEnd: (() => void) | undefined;

  constructor(
    /** The stream that it was sent on. */
    readonly line: Line,
    readonly id: number,
    readonly deadlineMs: number,
    private readonly caller: Caller,
  ) {}

  get hasSeveralAnswers(): boolean {
    return this.caller.more !== undefined;
  }

  settle(outcome: Response | DibsError): void {
    const { expected, answered, failed } = this.caller;
    if (outcome instanceof DibsError) failed(outcome);
    else if (outcome.$case === expected) answered(outcome.value);
    else failed(new DibsError('INTERNAL', `the answer to ${expected} is of another kind`));
  }

  /** One of several answers. */
  tell(response: Response): void {
    if (response.$case === this.caller.expected) this.caller.more?.(response.value);
  }
}
