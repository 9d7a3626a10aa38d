import type { Adapter } from './adapter.js';
import { play, type Surroundings } from './play.js';
import type { Scenario } from './scenario.js';

/** How often a scenario is played at most. */
export const ATTEMPTS_MAX = 3;

/**
 * Plays a scenario, and plays it again if it failed while one of its processes got no CPU for a second: clients give up
 * some calls after two. On a machine that has time for it, the first failure counts. `again` is called before another
 * attempt.
 */
export async function playAgainIfHeldUp(
  scenario: Scenario,
  around: Omit<Surroundings, 'attempt'>,
  again: () => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const beganMs = performance.now();
    const adapters = new Set<Adapter>();
    const adapter = async (actor: string) => {
      const its = await around.adapter(actor);
      adapters.add(its);
      return its;
    };
    try {
      return await play(scenario, { ...around, adapter, attempt });
    } catch (error) {
      const wasHeldUp = [around.stage, ...adapters].some((one) => one.wasLate(beganMs));
      if (!wasHeldUp || attempt === ATTEMPTS_MAX) throw error;
    }
    await again();
  }
}
