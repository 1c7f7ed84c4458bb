import { describe, expect, it } from 'vitest';
import { readRequest } from './request.ts';

describe('a frame of a telemetry client', () => {
  it('arrives with halves of surrogate pairs replaced', () => {
    const request = readRequest(String.raw`{"eventType":"x","payload":{"t":"cut \ud83d","\ude00":1}}`);
    expect(request).toMatchObject({
      type: 'submit',
      message: { payload: { payload: { t: 'cut \ufffd', '\ufffd': 1 } } },
    });
  });

  it.each([
    ['{"eventType":"x","payload":{"n":1e400}}', 'VALIDATION_ERROR'],
    ['{"type":"replay","limit":1e400}', 'VALIDATION_ERROR'],
    [`{"eventType":"x","payload":${'{"a":'.repeat(65)}1${'}'.repeat(65)}}`, 'VALIDATION_ERROR'],
    ['{"type":"shout"}', 'UNKNOWN_TYPE'],
    ['[]', 'INVALID_JSON'],
    ['{', 'INVALID_JSON'],
  ])('is refused when it is %.60s', (text, code) => {
    expect(() => readRequest(text)).toThrow(expect.objectContaining({ code }));
  });
});
