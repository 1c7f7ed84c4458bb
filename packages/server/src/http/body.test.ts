import { describe, expect, it } from 'vitest';
import { readJson } from './body.ts';

async function read(body: string | Uint8Array<ArrayBuffer>): Promise<unknown> {
  return readJson(await new Response(body).arrayBuffer());
}

describe('the body of a request', () => {
  it('is an object as a socket would take it: halves of surrogate pairs become U+FFFD', async () => {
    expect(await read(String.raw`{"payload":{"t":"cut \ud83d","\uDE00":["\uDE00"],"whole":"\ud83d\ude00"}}`)).toEqual({
      payload: { t: 'cut \ufffd', '\ufffd': ['\ufffd'], whole: '😀' },
    });
    expect(await read('')).toEqual({});
  });

  it.each([
    ['{"payload":{"n":[1e400]}}', { code: 'VALIDATION_ERROR', details: { field: 'body.payload.n.0' } }],
    [`{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`, { code: 'VALIDATION_ERROR', details: { field: 'body' } }],
    ['[1]', { code: 'INVALID_JSON' }],
    ['{"a":1', { code: 'INVALID_JSON' }],
    [new Uint8Array([0x7b, 0xed, 0xa0, 0xbd, 0x7d]), { code: 'INVALID_JSON' }],
  ])('is refused when it is %.40s', async (body, refusal) => {
    await expect(read(body)).rejects.toMatchObject(refusal);
  });
});
