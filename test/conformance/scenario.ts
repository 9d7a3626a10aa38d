import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

const values = z.record(z.string(), z.unknown());

/** One step: an action of an actor, a change of the fleet, or a check. */
const step = z
  .looseObject({
    /** Runs while later steps run. `await` waits for it. */
    as: z.string().optional(),
    /** Runs this many times at once. `as` is then followed by a number from 1. */
    times: z.int().optional(),
    await: z.string().optional(),
    expect: values.optional(),
    /** Names for fields of the result, given by their paths. Later steps refer to them as `$name`. */
    save: z.record(z.string(), z.string()).optional(),
    fleet: z.string().optional(),
    sleep: z.int().optional(),
    /** An event of an actor's rebuild or hook, for which the step waits. Each event counts once. */
    event: values.optional(),
    /** How many rebuilds have begun in this scenario so far. */
    rebuilds: z.int().optional(),
    /** How many events like this one have come so far, whether or not a step waited for them. */
    told: z.looseObject({ actor: z.string(), times: z.int() }).optional(),
    /** Waits until `count` callers wait for the key, on all replicas together. */
    waiters: z.strictObject({ key: z.string(), count: z.int() }).optional(),
    /** Waits until the key has no fresh value at the service. */
    over: z.strictObject({ key: z.string() }).optional(),
    /** Waits until each replica has callers that wait for some of these keys. */
    shared: z.strictObject({ keys: values }).optional(),
    /** Waits until, for each of these keys, `count` callers wait at one replica. */
    met: z.strictObject({ keys: values, count: z.int() }).optional(),
    /** The longest time that `steps` may take together, in milliseconds. */
    within: z.int().optional(),
    /** `steps` are repeated until they hold, for at most so many milliseconds. */
    eventually: z.int().optional(),
    steps: z.array(values).optional(),
  })
  .readonly();

const scenario = z
  .strictObject({
    name: z.string(),
    /** As in DIBS_CONFIG, for the scenario's namespace. */
    policy: values.optional(),
    /** Set if it makes sense only with sessions, or only without. */
    only: z.enum(['session', 'unary']).optional(),
    /** The languages that have the feature. All others are left out. */
    languages: z.array(z.string()).optional(),
    /** Languages that cannot play it, each with the reason. */
    except: z.record(z.string(), z.string()).optional(),
    /** A bare loop over generated stubs plays it too. */
    bare_loop: z.boolean().optional(),
    /** It disturbs other scenarios, so it runs alone. */
    alone: z.boolean().optional(),
    steps: z.array(step),
  })
  .readonly();

export type Step = z.infer<typeof step>;
export type Scenario = z.infer<typeof scenario> & { readonly file: string };

/** Reads all scenarios of a folder, in the order of files and documents. Throws if one is malformed. */
export function readScenarios(folder: string): Scenario[] {
  const all = readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .flatMap((file) =>
      parseAllDocuments(readFileSync(join(folder, file), 'utf8')).map((document) => {
        const parsed = scenario.safeParse(document.toJS());
        const { name } = (document.toJS() ?? {}) as { name?: string };
        if (!parsed.success) throw new Error(`${file}, ${name}: ${z.prettifyError(parsed.error)}`);
        return { ...parsed.data, file };
      }),
    );
  const names = all.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new Error(`two scenarios are called ${twice}`);
  return all;
}

/** A different namespace for each scenario, column and attempt, so that none affects another. */
export function namespaceOf({ name }: Scenario, column: string, attempt: number): string {
  const words = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 48);
  return `${words}.${createHash('sha256').update(`${name}|${column}|${attempt}`).digest('hex').slice(0, 8)}`;
}
