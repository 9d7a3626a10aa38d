import type { ShownLeases } from '../coordination/leasing/held-leases.js';
import type { WaitEnd } from '../coordination/ports/observer.js';
import type { ShownWaits } from '../coordination/waiting/key-loops.js';
import type { Degraded, ShownDegraded } from '../coordination/words/outcome.js';

/** What the console shows of this replica: no token, no value. All of it is renewed once a second. */
export interface ConsoleState {
  /** The machine's wall clock, for the reader. Everything else is an age. */
  readonly atMs: number;
  readonly replica: {
    readonly host: string;
    readonly pid: number;
    readonly grpc: readonly string[];
    readonly version: string;
    readonly mode: 'embedded' | 'quorum';
    readonly draining: boolean;
    readonly uptimeMs: number;
    /** Absent if the replica is one process. */
    readonly workers?: { readonly serving: number; readonly of: number };
  };
  readonly now: {
    readonly waiters: number;
    /** What they wait for. */
    readonly waits: ShownWaits;
    readonly sessions: number;
    readonly nearCacheBytes: number;
    /** No attempt at a lease has had a winner for a while. */
    readonly undecided: boolean;
  };
  readonly held: ShownLeases;
  /** Leads to a trace, with `{trace_id}` and `{span_id}` for its ids; empty: no lease leads anywhere. */
  readonly traceUrl: string;
  readonly recent: {
    /** The period of counts and durations. */
    readonly windowS: number;
    /** The time since the last whole second, which is the one that is 0 seconds ago. */
    readonly lastSecondAgoMs: number;
    /** The period of rates. */
    readonly rateS: number;
    readonly answers: readonly Counted[];
    readonly publishes: readonly Counted[];
    readonly leaseEnds: readonly Counted[];
    readonly saved: { readonly count: number; readonly total: number };
    readonly waits: { readonly byEnd: readonly WaitsByEnd[]; readonly seconds: readonly SecondOfWaits[] };
    readonly degraded: { readonly mode: ShownDegraded; readonly steps: readonly DegradationChange[] };
    /** None in the embedded mode. */
    readonly nodes: readonly ShownNode[];
  };
}

/** How often each outcome occurred. */
export interface Counted {
  readonly name: string;
  readonly count: number;
  readonly perSecond: number;
}

export interface WaitsByEnd {
  readonly endedBy: WaitEnd;
  readonly count: number;
  readonly p50Ms?: number | undefined;
  readonly p99Ms?: number | undefined;
}

/** One second in which waits ended. Seconds without are omitted. */
export interface SecondOfWaits {
  readonly agoS: number;
  /** How many, by what ended them. */
  readonly ended: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** A change of degradation, down or back up. */
export interface DegradationChange {
  readonly from: Degraded;
  readonly to: Degraded;
  readonly agoMs: number;
}

export interface ShownNode {
  readonly node: string;
  readonly state: string;
  /** Why it entered that state. */
  readonly why: string;
  readonly stateForMs?: number | undefined;
  readonly lastVote?: { readonly vote: string; readonly why: string; readonly agoMs: number } | undefined;
  readonly votes: { readonly for: number; readonly held: number; readonly missing: number };
  /** Only of votes that came. */
  readonly p50Ms?: number | undefined;
  readonly p99Ms?: number | undefined;
}
