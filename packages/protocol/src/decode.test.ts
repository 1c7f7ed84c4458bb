import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, isRefusal } from './decode.ts';
import type { Inbound, Refusal } from './envelope.ts';

function accept(frame: unknown, strict = false): Inbound {
  const result = decode(JSON.stringify(frame), strict);
  if (isRefusal(result)) throw new Error(`refused: ${result.code} ${result.message}`);
  return result;
}

function refuse(frame: unknown, strict = false): Refusal {
  const result = decode(typeof frame === 'string' ? frame : JSON.stringify(frame), strict);
  if (!isRefusal(result)) throw new Error('accepted');
  return result;
}

const nested = (depth: number): unknown => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);

describe('decode', () => {
  it('fills in what a sender may leave out', () => {
    const event = accept({ type: 'event' });
    expect(event.id).toMatch(/^arq_[0-9a-v]{20}$/);
    expect(event.payload).toEqual({});
    expect(event).toMatchObject({ ack: false, room: undefined, channel: undefined, to: undefined, dropped: 0 });
  });

  it('takes "message" for "event", and the aliases of the recipients', () => {
    expect(accept({ type: 'message' }).type).toBe('event');
    expect(accept({ type: 'private', to: 'arq_client_a' }).to).toEqual(['arq_client_a']);
    expect(accept({ type: 'private', to_client: ['a', 'b'] }).to).toEqual(['a', 'b']);
    expect(accept({ type: 'private', payload: { target: 'c' } }).to).toEqual(['c']);
    expect(accept({ type: 'event', payload: { target: 'c' } }).to).toBeUndefined();
  });

  it('takes both forms of a command, the top level first', () => {
    expect(accept({ type: 'command', command: 'ping', args: { echo: 1 } })).toMatchObject({
      command: 'ping',
      args: { echo: 1 },
    });
    const nestedForm = { type: 'command', payload: { command: 'ping', parameters: { echo: 2 } } };
    expect(accept(nestedForm)).toMatchObject({ command: 'ping', args: { echo: 2 } });
    const both = { type: 'command', command: 'help', payload: { command: 'ping', parameters: { echo: 2 } } };
    expect(accept(both)).toMatchObject({ command: 'help', args: {} });
  });

  it('takes room:channel apart in either field', () => {
    expect(accept({ type: 'event', room: 'science:explore' })).toMatchObject({ room: 'science', channel: 'explore' });
    expect(accept({ type: 'event', channel: 'science:a/b' })).toMatchObject({ room: 'science', channel: 'a/b' });
    expect(accept({ type: 'event', room: 'science', channel: 'science:x' })).toMatchObject({ channel: 'x' });
    expect(accept({ type: 'event', room: 'science:*' })).toMatchObject({ room: 'science', channel: '*' });
    expect(refuse({ type: 'event', room: 'a:b', channel: 'c' }).details).toMatchObject({ field: 'channel' });
    expect(refuse({ type: 'event', room: 'a', channel: 'b:c' }).details).toMatchObject({ field: 'room' });
  });

  it.each([
    ['_reserved', undefined, 'room'],
    ['', undefined, 'room'],
    ['a b', undefined, 'room'],
    ['a/b', undefined, 'room'],
    ['a:b:c', undefined, 'channel'],
    ['r', '', 'channel'],
    ['r', '/a', 'channel'],
    ['r', '-a', 'channel'],
    ['r', 'ä', 'channel'],
    ['x'.repeat(129), undefined, 'room'],
    ['r', 'x'.repeat(129), 'channel'],
    ['*', 'c', 'room'],
    ['__proto__', undefined, 'room'],
  ])('refuses the names %j %j', (room, channel, field) => {
    expect(refuse({ type: 'event', room, channel })).toMatchObject({ code: 'VALIDATION_ERROR', details: { field } });
  });

  it('takes names of 128 characters', () => {
    const name = 'x'.repeat(128);
    expect(accept({ type: 'event', room: name, channel: name })).toMatchObject({ room: name, channel: name });
  });

  it.each([
    ['{bad', 'INVALID_JSON'],
    ['', 'INVALID_JSON'],
    ['[]', 'INVALID_JSON'],
    ['null', 'INVALID_JSON'],
    ['"event"', 'INVALID_JSON'],
    ['{"type":"event","version":"2.0"}', 'UNSUPPORTED_VERSION'],
    ['{"type":"event","version":1}', 'UNSUPPORTED_VERSION'],
    ['{}', 'VALIDATION_ERROR'],
    ['{"type":7}', 'VALIDATION_ERROR'],
    ['{"type":"shout"}', 'UNKNOWN_TYPE'],
    ['{"type":"constructor"}', 'UNKNOWN_TYPE'],
    ['{"type":"system"}', 'VALIDATION_ERROR'],
    ['{"type":"ack"}', 'VALIDATION_ERROR'],
    ['{"type":"error"}', 'VALIDATION_ERROR'],
    ['{"type":"command_response"}', 'VALIDATION_ERROR'],
    ['{"type":"event","id":"x"}', 'VALIDATION_ERROR'],
    ['{"type":"event","id":"arq_"}', 'VALIDATION_ERROR'],
    ['{"type":"event","payload":[]}', 'VALIDATION_ERROR'],
    ['{"type":"event","payload":null}', 'VALIDATION_ERROR'],
    ['{"type":"event","ack":"yes"}', 'VALIDATION_ERROR'],
    ['{"type":"event","room":7}', 'VALIDATION_ERROR'],
    ['{"type":"event","metadata":[]}', 'VALIDATION_ERROR'],
    ['{"type":"event","timestamp":"yesterday"}', 'VALIDATION_ERROR'],
    ['{"type":"event","timestamp":"2026-02-31T00:00:00Z"}', 'VALIDATION_ERROR'],
    ['{"type":"event","metadata":{"vector_clock":{"a":-1}}}', 'VALIDATION_ERROR'],
    ['{"type":"event","metadata":{"causal_parent_id":"nope"}}', 'VALIDATION_ERROR'],
    ['{"type":"event","metadata":{"traceparent":"00-0-0-0"}}', 'VALIDATION_ERROR'],
    ['{"type":"command"}', 'VALIDATION_ERROR'],
    ['{"type":"command","command":"ping","args":[]}', 'VALIDATION_ERROR'],
    ['{"type":"private","to":[]}', 'VALIDATION_ERROR'],
    ['{"type":"private","to":[7]}', 'VALIDATION_ERROR'],
  ])('refuses %s with %s', (text, code) => {
    expect(refuse(text).code).toBe(code);
  });

  it('counts recipients up to 100', () => {
    const to = Array.from({ length: 101 }, (_, index) => `arq_client_${index}`);
    expect(accept({ type: 'private', to: to.slice(0, 100) }).to).toHaveLength(100);
    expect(refuse({ type: 'private', to })).toMatchObject({ code: 'VALIDATION_ERROR', details: { field: 'to' } });
  });

  it('nests up to 64 levels, the payload itself being the first', () => {
    expect(accept({ type: 'event', payload: nested(64) }).payload).toEqual(nested(64));
    expect(refuse({ type: 'event', payload: nested(65) }).details).toMatchObject({ field: 'payload' });
    expect(refuse({ type: 'event', metadata: nested(65) }).details).toMatchObject({ field: 'metadata' });
    expect(refuse({ type: 'command', command: 'ping', args: nested(65) }).details).toMatchObject({ field: 'args' });
  });

  it('survives a nesting bomb', () => {
    const bomb = '['.repeat(200_000) + ']'.repeat(200_000);
    expect(refuse(`{"type":"event","payload":{"a":${bomb}}}`).details).toMatchObject({ field: 'payload' });
    const unknown = decode(`{"type":"event","boom":${bomb}}`);
    expect(isRefusal(unknown) ? 0 : unknown.dropped).toBe(1);
  });

  it('names the request in a refusal, and says that a command was refused', () => {
    expect(refuse({ type: 'event', id: 'arq_1', ack: 7 })).toMatchObject({ requestId: 'arq_1', command: undefined });
    expect(refuse({ type: 'command', id: 'arq_1', command: 'ping', args: 7 })).toMatchObject({ command: 'ping' });
    expect(refuse({ type: 'event', id: 'not one', ack: 7 }).requestId).toBeUndefined();
  });

  it('drops and counts unknown fields, or refuses them in strict mode', () => {
    expect(accept({ type: 'event', extra: 1, other: 2 }).dropped).toBe(2);
    const whole = { version: '1.0', id: 'arq_1', type: 'event', payload: {} };
    expect(accept(whole, true).id).toBe('arq_1');
    expect(refuse({ ...whole, extra: 1 }, true).details).toMatchObject({ field: 'extra' });
    for (const owed of ['version', 'id', 'payload']) {
      expect(refuse({ ...whole, [owed]: undefined }, true).details).toMatchObject({ field: owed });
    }
  });

  it('drops metadata that only the server writes, and keeps the rest', () => {
    const metadata = {
      sequence: 9,
      epoch: 'x',
      replayed: true,
      casil: {},
      cron_job_id: 'j',
      iteration: 1,
      client_timestamp: 'x',
      vector_clock: { a: 0, b: 3 },
      causal_parent_id: 'arq_p',
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
      own: { nested: true },
    };
    const { vector_clock, causal_parent_id, traceparent, own } = metadata;
    expect(accept({ type: 'event', metadata }).metadata).toEqual({ vector_clock, causal_parent_id, traceparent, own });
    expect(accept({ type: 'event', metadata: { sequence: 9 } }).metadata).toBeUndefined();
  });

  it("keeps a sender's own timestamp as client_timestamp", () => {
    const timestamp = '2026-01-31T12:00:00+02:00';
    expect(accept({ type: 'event', timestamp }).metadata).toEqual({ client_timestamp: timestamp });
  });

  it('takes a timestamp without an offset for UTC, and keeps its digits', () => {
    const kept = (timestamp: string): unknown => accept({ type: 'event', timestamp }).metadata?.client_timestamp;
    expect(kept('2026-02-18T00:00:00.123456')).toBe('2026-02-18T00:00:00.123456Z');
    expect(kept('2026-02-18T01:02:03')).toBe('2026-02-18T01:02:03Z');
    expect(kept(`2026-02-18T01:02:03.${'1'.repeat(60)}-01:00`)).toBe(`2026-02-18T01:02:03.${'1'.repeat(60)}-01:00`);
    const stamped = { type: 'event', timestamp: '2026-02-18T01:02:03', metadata: { own: 1 } };
    expect(accept(stamped).metadata).toEqual({ own: 1, client_timestamp: '2026-02-18T01:02:03Z' });
  });

  it('replaces halves of surrogate pairs wherever a sender puts them', () => {
    const half = '\ud83d';
    const everywhere = {
      type: 'private',
      to: [`a${half}`, 'b'],
      payload: { t: [`cut ${half}`], [half]: { deep: half }, whole: '😀' },
      metadata: { own: half, [half]: 1 },
    };
    expect(accept(everywhere)).toMatchObject({
      to: ['a\ufffd', 'b'],
      payload: { t: ['cut \ufffd'], '\ufffd': { deep: '\ufffd' }, whole: '😀' },
      metadata: { own: '\ufffd', '\ufffd': 1 },
    });
    const command = accept({ type: 'command', command: `x${half}`, args: { [half]: half } });
    expect(command).toMatchObject({ command: 'x\ufffd', args: { '\ufffd': '\ufffd' } });
    // What a refusal repeats of a frame is whole text too.
    expect(refuse({ type: half }).details).toMatchObject({ value: '\ufffd' });
    expect(refuse({ type: `${'x'.repeat(139)}😀` }).details).toMatchObject({ value: `${'x'.repeat(139)}\ufffd` });
    expect(refuse({ type: 'command', command: half, args: 7 }).command).toBe('\ufffd');
  });

  it.each([
    ['{"type":"event","payload":{"a":1e400}}', 'payload.a'],
    ['{"type":"event","payload":{"a":[0,{"b":-1e400}]}}', 'payload.a.1.b'],
    ['{"type":"event","metadata":{"own":1e999}}', 'metadata.own'],
    ['{"type":"command","command":"ping","args":{"echo":1e400}}', 'args.echo'],
    ['{"type":"command","payload":{"command":"ping","parameters":{"echo":1e400}}}', 'payload.parameters.echo'],
    ['{"type":"event","from":1e400}', 'from'],
    ['{"type":"event","unknown":{"n":1e400}}', 'unknown.n'],
    ['{"type":"event","unknown":-1e400}', 'unknown'],
  ])('refuses the number that JSON cannot carry in %s', (text, field) => {
    expect(refuse(text)).toMatchObject({ code: 'VALIDATION_ERROR', details: { field } });
  });

  it.each(['to', 'to_client', 'args', 'command', 'room', 'channel', 'metadata', 'payload', 'ack', 'request_id'])(
    'takes null for no value of "%s"',
    (field) => {
      const frame = { type: field === 'args' || field === 'command' ? 'command' : 'private', command: 'ping' };
      expect(refuse({ ...frame, [field]: null })).toMatchObject({
        code: 'VALIDATION_ERROR',
        message: expect.stringContaining('is null'),
        details: { field },
      });
    },
  );

  it('keeps __proto__ a key, everywhere', () => {
    const text = '{"type":"event","payload":{"__proto__":{"polluted":1}},"metadata":{"__proto__":{"polluted":1}}}';
    const result = decode(text);
    if (isRefusal(result)) throw new Error(result.message);
    expect(JSON.stringify(result.payload)).toBe('{"__proto__":{"polluted":1}}');
    expect(JSON.stringify(result.metadata)).toBe('{"__proto__":{"polluted":1}}');
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('never throws, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: 'binary' }), fc.boolean(), (text, strict) => {
        decode(text, strict);
      }),
      { seed: 7, numRuns: 2_000 },
    );
  });

  it('never throws and never invents, whatever the values of its fields', () => {
    const value = fc.jsonValue({ maxDepth: 3 });
    const fields = fc.dictionary(
      fc.constantFrom(
        ...'version id type room channel from to timestamp payload command args ack metadata request_id'.split(' '),
      ),
      fc.oneof(value, fc.constantFrom('event', 'private', 'command', '1.0', 'arq_a', 'science', 'science:explore')),
    );
    fc.assert(
      fc.property(fields, (frame) => {
        const result = decode(JSON.stringify(frame));
        if (isRefusal(result)) return;
        expect(JSON.stringify(result.payload)).toBe(JSON.stringify(frame.payload ?? {}));
        expect(['event', 'private', 'command', 'telemetry']).toContain(result.type);
      }),
      { seed: 7, numRuns: 3_000 },
    );
  });
});
