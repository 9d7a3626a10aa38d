import { expect, it } from 'vitest';
import { readTraceparent, writeTraceparent } from '../../../src/telemetry/traceparent.js';

const [TRACE, SPAN] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];

it('what is written can be read', () => {
  for (const flags of ['00', '01']) {
    const text = `00-${TRACE}-${SPAN}-${flags}`;
    expect(writeTraceparent(readTraceparent(text)!)).toBe(text);
  }
});

it('known flags are kept, and later versions of the same form are accepted', () => {
  expect(readTraceparent(`cc-${TRACE}-${SPAN}-ff`)).toMatchObject({
    traceId: TRACE,
    spanId: SPAN,
    traceFlags: 1,
  });
});

it('nothing else is accepted', () => {
  const wrong = [
    '',
    'x',
    `ff-${TRACE}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${TRACE}-${SPAN}-0`,
  ];
  expect(wrong.map(readTraceparent)).toEqual(wrong.map(() => undefined));
});
