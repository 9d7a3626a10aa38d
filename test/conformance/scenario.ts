import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

const values = z.record(z.string(), z.unknown());

/** One step: an actor does something, or something happens to the fleet, or something is looked at. */
const step = z
  .looseObject({
    /** Done beside what follows; `await` waits for it. */
    as: z.string().optional(),
    /** Done so many times at once; `as` is then followed by a number from 1 on. */
    times: z.int().optional(),
    await: z.string().optional(),
    expect: values.optional(),
    /** Names for what is in the result, by their paths; `$name` stands for it from then on. */
    save: z.record(z.string(), z.string()).optional(),
    fleet: z.string().optional(),
    sleep: z.int().optional(),
    /** Something that an actor's rebuild or hook tells, within five seconds; each counts once. */
    event: values.optional(),
    /** How often a rebuild has begun in this scenario until now. */
    rebuilds: z.int().optional(),
    /** How many events like this one have come until now, taken or not. */
    told: z.looseObject({ actor: z.string(), times: z.int() }).optional(),
    /** Until so many callers wait for the key, on all replicas together. */
    waiters: z.strictObject({ key: z.string(), count: z.int() }).optional(),
    /** Until the key has no fresh value at the service. */
    over: z.strictObject({ key: z.string() }).optional(),
    /** Until callers wait for some of these keys at each replica. */
    shared: z.strictObject({ keys: values }).optional(),
    /** Until so many callers of each of these keys wait at the same replica. */
    met: z.strictObject({ keys: values, count: z.int() }).optional(),
    /** Steps of `within` together take no longer, in milliseconds. */
    within: z.int().optional(),
    steps: z.array(values).optional(),
  })
  .readonly();

const scenario = z
  .strictObject({
    name: z.string(),
    /** As in DIBS_CONFIG, for the scenario's own namespace. */
    policy: values.optional(),
    /** Where it makes sense only over sessions, or only without. */
    only: z.enum(['session', 'unary']).optional(),
    /** The languages that have what it is about; all others are left out. */
    languages: z.array(z.string()).optional(),
    /** Languages that cannot play it, each with the reason. */
    except: z.record(z.string(), z.string()).optional(),
    /** A bare loop over generated stubs plays it too. */
    bare_loop: z.boolean().optional(),
    /** It breaks what other scenarios need, so it runs by itself. */
    alone: z.boolean().optional(),
    steps: z.array(step),
  })
  .readonly();

export type Step = z.infer<typeof step>;
export type Scenario = z.infer<typeof scenario> & { readonly file: string };

/** All scenarios of a folder, in the order of files and documents. Throws where one is not well formed. */
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

/** A namespace for each scenario and column: nothing that one does is seen by another. */
export function namespaceOf({ name }: Scenario, column: string): string {
  const words = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 48);
  return `${words}.${createHash('sha256').update(`${name}|${column}`).digest('hex').slice(0, 8)}`;
}
