/** One thing that may happen next. Things of one name happen in their order. */
export interface Move {
  readonly name: string;
  /** Nothing that the order of deliveries decides: it has to be chosen. */
  readonly isFault?: boolean;
}

export interface Bounds {
  /** How often an order may depart from the one in which things were planned. */
  readonly deviations: number;
  readonly faults: number;
  readonly seconds?: number;
}

/** What one order came to. Empty where nothing is wrong. */
export type Verdict = readonly string[];

export interface Bad {
  readonly verdict: Verdict;
  /** {@link orderOf} of it. */
  readonly order: string;
}

export interface Explored {
  /** Orders that were played to their end. */
  readonly orders: number;
  /** Orders that were given up, for they differ from one that was played only in steps that commute. */
  readonly pruned: number;
  /** All within the bounds were tried. */
  readonly whole: boolean;
  readonly bad: readonly Bad[];
  readonly badCount: number;
}

/** Picks one of the moves by its place; undefined gives the order up. */
export type Pick = (moves: readonly Move[]) => number | undefined;

/** A point at which there was a choice, and what was chosen last. */
interface Point {
  readonly names: readonly string[];
  /** Where each option leads: how many deviations and faults it makes in all. */
  readonly costs: readonly number[];
  readonly faults: readonly number[];
  /** What has been tried at this point, or would repeat what was tried before it. */
  readonly sleeping: Set<string>;
  at: number;
}

const BAD_KEPT = 5;

/**
 * Depth first through all orders, each played anew from its beginning by the choices that lead to it.
 *
 * An order is bounded by its deviations: to take the k-th thing instead of the first is to put k things off,
 * and what is put off comes after all else that is due (Emmi, Qadeer, Rakamarić, "Delay-bounded scheduling",
 * POPL 2011). It is pruned by sleep sets: two neighbouring steps that touch different things commute, and only
 * one of their two orders is played (Godefroid, "Partial-order methods", 1996). The two together may miss an
 * order within the bound, whose twin that was kept is beyond it: this search is not complete.
 */
export async function explore(
  play: (pick: Pick) => Promise<Verdict>,
  areIndependent: (one: string, other: string) => boolean,
  bounds: Bounds,
): Promise<Explored> {
  const points: Point[] = [];
  const bad: Bad[] = [];
  let [orders, pruned, badCount] = [0, 0, 0];
  const untilMs = performance.now() + (bounds.seconds ?? Number.POSITIVE_INFINITY) * 1_000;
  for (;;) {
    const replay = new Replay(points, areIndependent, bounds);
    const verdict = await play((moves) => replay.pick(moves));
    if (replay.isPruned) pruned += 1;
    else orders += 1;
    if (verdict.length > 0 && !replay.isPruned) {
      badCount += 1;
      if (bad.length < BAD_KEPT) bad.push({ verdict, order: replay.order });
    }
    if (!goOn(points, bounds)) return { orders, pruned, whole: true, bad, badCount };
    if (performance.now() > untilMs) return { orders, pruned, whole: false, bad, badCount };
  }
}

/** To the next order; false if there is none. */
function goOn(points: Point[], bounds: Bounds): boolean {
  for (let point = points.at(-1); point !== undefined; point = points.at(-1)) {
    point.sleeping.add(point.names[point.at] as string);
    const next = optionOf(point, bounds);
    if (next !== undefined) {
      point.at = next;
      return true;
    }
    points.pop();
  }
  return false;
}

function optionOf({ names, costs, faults, sleeping }: Omit<Point, 'at'>, bounds: Bounds): number | undefined {
  const at = names.findIndex(
    (name, option) =>
      !sleeping.has(name) &&
      (costs[option] as number) <= bounds.deviations &&
      (faults[option] as number) <= bounds.faults,
  );
  return at < 0 ? undefined : at;
}

/** One order, from its beginning. */
class Replay {
  #depth = 0;
  #sleeping: ReadonlySet<string> = new Set();
  /** What was put off, the longest ago first. */
  #putOff: string[] = [];
  #cost = 0;
  #faults = 0;
  #steps = 0;
  readonly #order: string[] = [];
  isPruned = false;

  constructor(
    private readonly points: Point[],
    private readonly areIndependent: (one: string, other: string) => boolean,
    private readonly bounds: Bounds,
  ) {}

  /** As {@link picksOf} takes it: where it is not the first of all that was planned. */
  get order(): string {
    return this.#order.join(',');
  }

  pick(moves: readonly Move[]): number | undefined {
    const due = moves.filter(({ isFault }) => isFault !== true).map(({ name }) => name);
    const inTime = due.filter((name) => !this.#putOff.includes(name));
    const names = [...inTime, ...this.#putOff.filter((name) => due.includes(name))];
    const faults = moves.filter(({ isFault }) => isFault === true).map(({ name }) => name);
    const point = this.points[this.#depth] ?? this.#newPoint([...names, ...faults], names.length);
    this.#depth += 1;
    if (point === undefined) {
      this.isPruned = true;
      return undefined;
    }
    const picked = point.names[point.at] as string;
    const place = moves.findIndex(({ name }) => name === picked);
    if (place < 0) throw new Error(`the same choices led elsewhere: ${picked} is not in ${due}`);
    this.#take(point, names.length);
    if (place > 0) this.#order.push(`${this.#steps}:${picked}`);
    this.#steps += 1;
    return place;
  }

  #newPoint(names: readonly string[], dueCount: number): Point | undefined {
    const sleeping = new Set(this.#sleeping);
    let awake = 0;
    const costs = names.map((name, option) => {
      const isFault = option >= dueCount;
      const cost = this.#cost + (isFault ? 1 : awake);
      if (!sleeping.has(name)) awake += 1;
      return cost;
    });
    const faults = names.map((_, option) => this.#faults + (option >= dueCount ? 1 : 0));
    const point = { names, costs, faults, sleeping };
    const at = optionOf(point, this.bounds);
    if (at === undefined) return undefined;
    const begun = { ...point, at };
    this.points.push(begun);
    return begun;
  }

  #take({ names, costs, faults, sleeping, at }: Point, dueCount: number): void {
    const picked = names[at] as string;
    this.#cost = costs[at] as number;
    this.#faults = faults[at] as number;
    if (at < dueCount) {
      const passed = names.slice(0, at);
      this.#putOff = [...this.#putOff.filter((name) => name !== picked && !passed.includes(name)), ...passed];
    }
    this.#sleeping = new Set([...sleeping].filter((name) => this.areIndependent(name, picked)));
  }
}

/** Plays one order again, as {@link Bad.order} names it. */
export function picksOf(order: string): Pick {
  const named = new Map(
    order
      .split(',')
      .filter((part) => part !== '')
      .map((part) => [Number(part.slice(0, part.indexOf(':'))), part.slice(part.indexOf(':') + 1)]),
  );
  let steps = 0;
  return (moves) => {
    const name = named.get(steps);
    steps += 1;
    return name === undefined ? 0 : moves.findIndex((move) => move.name === name);
  };
}
