import { z } from 'zod';
import { BACKOFF_MS_MAX, type Policy } from '../coordination/words/policy.js';
import { type Faults, unknownSettings } from './faults.js';
import { readYaml } from './yaml-text.js';

const YEAR_MS = 31_536_000_000;
const DAY_MS = 86_400_000;

/**
 * Parses the text of DIBS_CONFIG: a policy for each listed namespace. Anything omitted comes from `base`. Every fault
 * begins with its path in the file.
 */
export function readPolicyFile(text: string, base: Policy, faults: Faults): ReadonlyMap<string, Policy> {
  const policies = new Map<string, Policy>();
  const content = readYaml(text, faults);
  const file = content === undefined ? undefined : faults.fitting(fileSchema(base), content);
  for (const [namespace, said] of Object.entries(file?.namespaces ?? {})) {
    const policy = policyOf(base, said);
    if (policy.leaseMsMin > policy.leaseMsMax) {
      const what = `${policy.leaseMsMin} is above lease_max_ms, which is ${policy.leaseMsMax}`;
      faults.add(`namespaces.${namespace}.lease_min_ms`, what);
    }
    if (policy.leaseHoldMsMax < policy.leaseMsMax) {
      const what = `${policy.leaseHoldMsMax} is below lease_max_ms, which is ${policy.leaseMsMax}`;
      faults.add(`namespaces.${namespace}.lease_hold_max_ms`, what);
    }
    if (policy.failureBackoffMsMax < policy.failureBackoffMs) {
      const what = `${policy.failureBackoffMsMax} is below failure_backoff_ms, which is ${policy.failureBackoffMs}`;
      faults.add(`namespaces.${namespace}.failure_backoff_max_ms`, what);
    }
    policies.set(namespace, Object.freeze(policy));
  }
  return policies;
}

type SaidPolicy = NonNullable<z.infer<ReturnType<typeof fileSchema>>['namespaces']>[string];

function policyOf(base: Policy, said: SaidPolicy): Policy {
  const stale = typeof said.stale === 'string' ? { serve: said.stale } : said.stale;
  return {
    stale: stale?.serve ?? base.stale,
    staleMs: stale?.ms ?? base.staleMs,
    ttlJitter: said.ttl_jitter ?? base.ttlJitter,
    earlyRefreshBeta: said.early_refresh_beta ?? base.earlyRefreshBeta,
    onLoss: said.on_loss ?? base.onLoss,
    onLate: said.on_late ?? base.onLate,
    maxRebuilds: said.max_rebuilds ?? base.maxRebuilds,
    failureBackoffMs: said.failure_backoff_ms ?? base.failureBackoffMs,
    failureBackoffMsMax: said.failure_backoff_max_ms ?? base.failureBackoffMsMax,
    leaseMsMin: said.lease_min_ms ?? base.leaseMsMin,
    leaseMsMax: said.lease_max_ms ?? base.leaseMsMax,
    leaseHoldMsMax: said.lease_hold_max_ms ?? base.leaseHoldMsMax,
    keysInTraces: said.keys_in_traces ?? base.keysInTraces,
  };
}

const NAMESPACE = 'is not a namespace: 1 to 64 of A-Z, a-z, 0-9, _, . and -';

/** Like zod's strictObject. Its faults say what is known, and what shape is expected. */
function known<const Shape extends z.ZodRawShape>(shape: Shape, what: string) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? unknownSettings(issue.keys, Object.keys(shape)) : `is not ${what}`,
  });
}

function fileSchema({ leaseMsMin, leaseMsMax }: Policy) {
  const serve = oneOf('allow', 'forbid');
  const shape = {
    // The long form also sets the stale time, unless a publish sets it.
    stale: z
      .union([serve, z.strictObject({ serve: serve.optional(), ms: within(0, YEAR_MS).optional() })], {
        error: `is not allow, forbid, or { serve: allow or forbid, ms: 0 to ${YEAR_MS} }`,
      })
      .optional(),
    ttl_jitter: within(0, 1, false).optional(),
    // 1 is XFetch's own default. Far above it, values are rebuilt as soon as they are stored.
    early_refresh_beta: within(0, 10, false).optional(),
    on_loss: oneOf('degrade', 'fail').optional(),
    on_late: oneOf('wait', 'degrade').optional(),
    max_rebuilds: within(0, 1_000_000).optional(),
    failure_backoff_ms: within(0, BACKOFF_MS_MAX).optional(),
    failure_backoff_max_ms: within(0, DAY_MS).optional(),
    lease_min_ms: within(leaseMsMin, leaseMsMax).optional(),
    lease_max_ms: within(leaseMsMin, leaseMsMax).optional(),
    lease_hold_max_ms: within(leaseMsMin, DAY_MS).optional(),
    keys_in_traces: oneOf('hashed', 'clear').optional(),
  };
  const policy = known(shape, 'a policy: a map such as { stale: allow }');
  const name = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, { error: NAMESPACE });
  const policies = z.record(name, policy, { error: wrongNamespaces });
  return known({ namespaces: policies.nullish() }, 'a map with `namespaces`');
}

/** A key that does not fit has its own fault. */
function wrongNamespaces({ code }: { readonly code?: string | undefined }): string | undefined {
  return code === 'invalid_key' ? undefined : 'is not a map from namespaces to policies';
}

function within(min: number, max: number, whole = true) {
  return z.custom<number>(
    (value) =>
      typeof value === 'number' && value >= min && value <= max && (!whole || Number.isInteger(value)),
    {
      error: ({ input }) => `${shown(input)} is not a ${whole ? 'whole ' : ''}number within ${min} to ${max}`,
    },
  );
}

function oneOf<const Choices extends readonly [string, ...string[]]>(...choices: Choices) {
  return z.enum(choices, { error: ({ input }) => `${shown(input)} is not one of ${choices.join(', ')}` });
}

/** Lists and maps may contain themselves. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' && value !== null ? 'a map' : String(value);
}
