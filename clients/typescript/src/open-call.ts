import type { Slot } from './deadlines.js';
import { DibsError } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';

export type Response = NonNullable<wire.SessionReply['response']>;

/** What a response of this kind carries. */
export type Of<Case extends Response['$case']> = Extract<Response, { $case: Case }>['value'];

/** A call whose answer has not come. */
export class OpenCall<Line> {
  slot: Slot<OpenCall<Line>> | undefined;
  /** Called when it has ended, however. */
  onEnd: (() => void) | undefined;

  constructor(
    /** Where it was sent. */
    readonly line: Line,
    readonly id: number,
    readonly deadlineMs: number,
    private readonly expected: Response['$case'],
    private readonly resolve: (value: unknown) => void,
    private readonly reject: (error: DibsError) => void,
    private readonly more: ((value: unknown) => void) | undefined,
  ) {}

  settle(outcome: Response | DibsError): void {
    if (outcome instanceof DibsError) this.reject(outcome);
    else if (outcome.$case === this.expected) this.resolve(outcome.value);
    else this.reject(new DibsError('INTERNAL', `an answer to ${this.expected} of another kind`));
  }

  /** One of several answers. */
  tell(response: Response): void {
    if (response.$case === this.expected) this.more?.(response.value);
  }
}
