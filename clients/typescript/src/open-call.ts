import type { Tick, Timed } from './deadlines.js';
import { DibsError } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';

export type Response = NonNullable<wire.SessionReply['response']>;

/** What a response of this kind carries. */
export type Of<Case extends Response['$case']> = Extract<Response, { $case: Case }>['value'];

/** What the caller waits for, and how it gets it. */
export interface Caller {
  readonly expected: Response['$case'];
  readonly answered: (value: unknown) => void;
  readonly failed: (error: DibsError) => void;
  /** Gets each answer but the last, where there are several. */
  readonly more: ((value: unknown) => void) | undefined;
}

/** A call whose answer has not come. */
export class OpenCall<Line> implements Timed {
  tick: Tick | undefined;
  place = 0;
  /** Called when it has ended, however. */
  onEnd: (() => void) | undefined;

  constructor(
    /** Where it was sent. */
    readonly line: Line,
    readonly id: number,
    readonly deadlineMs: number,
    private readonly caller: Caller,
  ) {}

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
