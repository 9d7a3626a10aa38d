import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

/** The pages that list the alerts of each severity. */
export const ALERT_PAGES: Readonly<Record<'page' | 'ticket', readonly string[]>> = {
  page: ['deploy/operations/alerts.md'],
  ticket: ['deploy/operations/tickets.md', 'deploy/operations/call-tickets.md'],
};

const alert = z.strictObject({
  alert: z.string().regex(/^Dibs[A-Z]\w+$/),
  expr: z.string(),
  /** Absent for alerts whose two time windows already require that the trouble lasts. */
  for: z
    .string()
    .regex(/^\d+m$/)
    .optional(),
  labels: z.strictObject({ severity: z.enum(['page', 'ticket']) }),
  annotations: z.strictObject({ summary: z.string(), description: z.string(), runbook_url: z.url() }),
});

const recording = z.strictObject({
  record: z.string().regex(/^[a-z_]+:dibs_[a-z_]+:[a-z0-9_]+$/),
  expr: z.string(),
});

const file = z.strictObject({
  groups: z.array(
    z.strictObject({ name: z.string(), rules: z.array(z.union([alert, recording])).nonempty() }),
  ),
});

/** Reads the rules of deploy/. Throws if they are not valid. */
export function readAlertRules() {
  const { groups } = file.parse(parse(readFileSync('deploy/alerts/dibs.rules.yaml', 'utf8')));
  const rules = groups.flatMap(({ rules }) => rules);
  return {
    alerts: rules.filter((rule) => 'alert' in rule),
    recordings: rules.filter((rule) => 'record' in rule),
  };
}
