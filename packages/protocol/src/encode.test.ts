import { describe, expect, it } from 'vitest';
import { encode, encodeAck, encodeError, markReplayed, openDraft, seal, sealUnstored, timestamp } from './encode.ts';
import { BusError } from './errors.ts';
import { isId, newId, newSecretId, randomToken } from './id.ts';

const source = {
  id: 'arq_1',
  type: 'event',
  room: 'science',
  channel: 'explore',
  from: 'arq_client_a',
  payload: { text: 'ä "quoted" \u2028 𝄞', n: 1e21 },
} as const;

describe('a draft', () => {
  it('becomes the whole envelope once its place is known', () => {
    const text = seal(openDraft(source, 0).open, 7, 'e1');
    expect(JSON.parse(text)).toEqual({
      version: '1.0',
      ...source,
      timestamp: '1970-01-01T00:00:00.000Z',
      metadata: { sequence: 7, epoch: 'e1' },
    });
  });

  it.each([undefined, {}, { own: 1 }, { client_timestamp: '2026-01-01T00:00:00Z', own: [1] }])(
    'carries the metadata %j, stored or not',
    (metadata) => {
      const { open } = openDraft({ ...source, metadata }, 0);
      expect(JSON.parse(seal(open, 1, 'e')).metadata).toEqual({ ...metadata, sequence: 1, epoch: 'e' });
      expect(JSON.parse(sealUnstored(open)).metadata).toEqual({ ...metadata });
    },
  );

  it('is told apart when replayed', () => {
    const text = markReplayed(seal(openDraft(source).open, 1, 'e'));
    expect(JSON.parse(text).metadata).toEqual({ sequence: 1, epoch: 'e', replayed: true });
  });

  it('carries the id it answers', () => {
    expect(JSON.parse(seal(openDraft({ ...source, requestId: 'arq_q' }).open, 1, 'e')).request_id).toBe('arq_q');
  });
});

describe('the server speaks', () => {
  it('with all fields that it owes', () => {
    const envelope = JSON.parse(encode({ type: 'system', payload: { event: 'x' } }));
    expect(envelope).toMatchObject({ version: '1.0', type: 'system', from: 'arqonbus', payload: { event: 'x' } });
    expect(isId(envelope.id)).toBe(true);
    expect(envelope.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it('an error to an envelope, a failed response to a command', () => {
    const error = new BusError('RATE_LIMITED', 'Wait.', { retry_after_ms: 5 });
    expect(JSON.parse(encodeError(error, 'arq_1'))).toMatchObject({
      type: 'error',
      request_id: 'arq_1',
      error: 'Wait.',
      error_code: 'RATE_LIMITED',
      payload: { retry_after_ms: 5, retryable: true },
    });
    expect(JSON.parse(encodeError(error, undefined, 'ping'))).toMatchObject({
      type: 'command_response',
      command: 'ping',
      status: 'error',
    });
  });

  it('with a timestamp of the moment given', () => {
    expect(timestamp(1_000)).toBe('1970-01-01T00:00:01.000Z');
    expect(timestamp(2_000)).toBe('1970-01-01T00:00:02.000Z');
  });
});

describe('an ack', () => {
  it.each([[undefined], [{ room: 'r', channel: 'a/b' }]])(
    'has the text that every envelope of the server has: %o',
    (at) => {
      const payload = { sequence: 7, epoch: 'e', stored: 'memory', note: '"' };
      const text = encodeAck('arq_q', at, payload);
      const { id, timestamp: time } = JSON.parse(text);
      expect(isId(id)).toBe(true);
      expect(text).toBe(encode({ type: 'ack', id, timestamp: time, request_id: 'arq_q', ...at, payload }));
    },
  );
});

describe('ids', () => {
  it('are valid and differ', () => {
    const ids = new Set(Array.from({ length: 5_000 }, newId));
    expect(ids.size).toBe(5_000);
    for (const id of ids) expect(isId(id)).toBe(true);
    expect(newSecretId('arq_client_')).toMatch(/^arq_client_[0-9a-v]{26}$/);
  });

  it('are drawn from all characters at every place', () => {
    const tokens = Array.from({ length: 5_000 }, () => randomToken(5));
    for (const token of tokens) expect(token).toMatch(/^[0-9a-v]{5}$/);
    for (let at = 0; at < 5; at += 1) expect(new Set(tokens.map((token) => token[at])).size).toBe(32);
  });

  it.each(['arq_', 'arq', 'x_1', 'arq_a b', `arq_${'a'.repeat(125)}`, 7, null])('do not look like %j', (value) => {
    expect(isId(value)).toBe(false);
  });

  it('have up to 124 characters behind the prefix', () => {
    expect(isId(`arq_${'a'.repeat(124)}`)).toBe(true);
  });
});
