import { expect, it } from 'vitest';
import { textOf } from '../../../src/cli/doctor.js';

it('the text shows each part once, aligned and without control characters', () => {
  const text = textOf(
    {
      mode: 'quorum',
      findings: [
        { part: 'configuration', check: 'environment', result: 'ok', detail: 'fine' },
        { part: 'value store', check: 'rights', result: 'fault', detail: 'bad\u001b[2J' },
        { part: 'value store', check: 'format', result: 'warning', detail: 'odd' },
      ],
    },
    '1.2.3',
  );
  expect(text).toBe(`dibs doctor 1.2.3, quorum mode

configuration
  ok       environment  fine

value store
  FAULT    rights       bad\\u001b[2J
  warning  format       odd

1 fault, 1 warning
`);
});
