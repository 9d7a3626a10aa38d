import { expect, it } from 'vitest';
import { faults } from '../../support/config-faults.js';

it.each([
  'DIBS_LISTEN',
  'DIBS_HTTP_LISTEN',
  'DIBS_WORKERS',
  'DIBS_INSECURE',
  'DIBS_LOG_LEVEL',
  'DIBS_CONFIG',
  'DIBS_AUTH_FILE',
  'OTEL_TRACES_EXPORTER',
  'OTEL_TRACES_SAMPLER_ARG',
  'OTEL_EXPORTER_OTLP_PROTOCOL',
])('the password of a URL that got into %s is in no fault', (variable) => {
  for (const password of ['secret,secret', 'a, secret, secret']) {
    const said = faults({ [variable]: `redis://me:${password}@values:6379` }).join('; ');
    expect(said).toMatch(variable);
    expect(said).not.toMatch('secret');
  }
  for (const password of ['secret', 'a secret', "a's secret", 'a@ secret']) {
    const said = faults({ [variable]: `redis://me:${password}@values:6379` }).join('; ');
    expect(said).toMatch(variable);
    expect(said).toMatch(/:\/\/…@values:6379' (?:is n|cannot be read)/);
    expect(said).not.toMatch('secret');
  }
});
