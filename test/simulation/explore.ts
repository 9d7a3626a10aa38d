import { type Bounds, type Explored, explore, picksOf, type Verdict } from './orders.js';
import { SCENARIOS } from './scenarios.js';
import { areIndependent, type Scenario, SmallWorld } from './small-world.js';
import { Trace } from './trace.js';

/** Plays all orders of a scenario within the bounds. */
export function exploreScenario(scenario: Scenario, bounds: Bounds): Promise<Explored> {
  return explore((pick) => new SmallWorld(scenario).playBy(pick), areIndependent, bounds);
}

export function scenarioNamed(name: string): Scenario {
  const scenario = SCENARIOS.find((other) => other.name === name);
  if (scenario === undefined) throw new Error(`no scenario "${name}"`);
  return scenario;
}

/** Plays one order and prints every event. */
export function replay(name: string, order: string, print: (line: string) => void): Promise<Verdict> {
  return new SmallWorld(scenarioNamed(name), new Trace(print)).playBy(picksOf(order));
}

export function scenariosWith(part: string): Scenario[] {
  return SCENARIOS.filter(({ name }) => name.includes(part));
}

/** Explores each scenario. Returns how many orders broke an invariant. */
export async function exploreAll(
  bounds: Bounds,
  scenarios: readonly Scenario[],
  { print, explored }: { print(line: string): void; explored(): void },
): Promise<number> {
  let [orders, badCount] = [0, 0];
  const startedMs = performance.now();
  for (const scenario of scenarios) {
    const beganMs = performance.now();
    const found = await exploreScenario(scenario, bounds);
    const seconds = ((performance.now() - beganMs) / 1_000).toFixed(1);
    explored();
    orders += found.orders;
    badCount += found.badCount;
    print(
      `${scenario.name}: ${found.orders} orders${found.whole ? '' : ' (more were not tried)'}, ` +
        `${found.pruned} pruned, ${found.badCount} with violations, ${seconds} s`,
    );
    for (const { verdict, order } of found.bad) {
      print(`  ${verdict[0]}`);
      print(`  replay: npm run simulate -- explore --only '${scenario.name}' --order '${order}'`);
    }
  }
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
  print(
    `${orders} orders with at most ${bounds.deviations} deviations, ${badCount} with violations, ${seconds} s`,
  );
  return badCount;
}
