import { describe, expect, it } from 'vitest';
import { decode, isRefusal } from './decode.ts';
import type { BusError } from './errors.ts';
import { checkOptions, MAX_OPTION_SECONDS, MAX_REQUEST_MS, wireOptions } from './options.ts';

function refusal(options: unknown, type: 'event' | 'private' | 'command' | 'telemetry' = 'event'): BusError | null {
  try {
    checkOptions(options, type);
    return null;
  } catch (error) {
    return error as BusError;
  }
}

describe('checkOptions', () => {
  it.each([
    [{}, 'event'],
    [{ ttl_seconds: 0.5 }, 'event'],
    [{ ttl_seconds: MAX_OPTION_SECONDS }, 'private'],
    [{ expect: { sequence: 0 } }, 'event'],
    [{ expect: { sequence: 7, epoch: 'e' } }, 'event'],
    [{ expect: { last_id: 'arq_1' } }, 'event'],
    [{ ephemeral: true, ttl_seconds: 5 }, 'event'],
    [{ ephemeral: false, expect: { sequence: 1 } }, 'event'],
    [{ ephemeral: true, request: { timeout_ms: 1 } }, 'private'],
    [{ deliver_at: '2030-01-01T00:00:00' }, 'event'],
    [{ delay_seconds: 0 }, 'event'],
    [{ receipt: true }, 'private'],
    [{ receipt: 'workers' }, 'event'],
    [{ request: { timeout_ms: MAX_REQUEST_MS, group: 'serve' } }, 'event'],
  ] as const)('takes %j of %s', (options, type) => {
    expect(refusal(options, type)).toBeNull();
  });

  it.each([
    [{ teleport: true }, 'event', 'options.teleport'],
    [JSON.parse('{"__proto__":{}}'), 'event', 'options.__proto__'],
    [{ toString: 1 }, 'event', 'options.toString'],
    [[], 'event', 'options'],
    [7, 'event', 'options'],
    [null, 'event', 'options'],
    [{ ttl_seconds: 1 }, 'command', 'options'],
    [{}, 'telemetry', 'options'],
    [{ ttl_seconds: 0 }, 'event', 'options.ttl_seconds'],
    [{ ttl_seconds: -1 }, 'event', 'options.ttl_seconds'],
    [{ ttl_seconds: MAX_OPTION_SECONDS + 1 }, 'event', 'options.ttl_seconds'],
    [{ ttl_seconds: '5' }, 'event', 'options.ttl_seconds'],
    [{ expect: { sequence: -1 } }, 'event', 'options.expect'],
    [{ expect: { sequence: 1.5 } }, 'event', 'options.expect'],
    [{ expect: { epoch: 'e' } }, 'event', 'options.expect'],
    [{ expect: { sequence: 1, epoch: 'e'.repeat(65) } }, 'event', 'options.expect'],
    [{ expect: { sequence: 1, last_id: 'arq_1' } }, 'event', 'options.expect'],
    [{ expect: { last_id: 'x' } }, 'event', 'options.expect'],
    [{ expect: { sequence: 1, more: 1 } }, 'event', 'options.expect'],
    [{ expect: { sequence: 1 } }, 'private', 'options.expect'],
    [{ ephemeral: 1 }, 'event', 'options.ephemeral'],
    [{ deliver_at: 'tomorrow' }, 'event', 'options.deliver_at'],
    [{ deliver_at: '2030-01-01T00:00:00Z' }, 'private', 'options.deliver_at'],
    [{ delay_seconds: MAX_OPTION_SECONDS + 1 }, 'event', 'options.delay_seconds'],
    [{ delay_seconds: 1 }, 'private', 'options.delay_seconds'],
    [{ receipt: true }, 'event', 'options.receipt'],
    [{ receipt: 'workers' }, 'private', 'options.receipt'],
    [{ request: { timeout_ms: 0 } }, 'event', 'options.request'],
    [{ request: { timeout_ms: MAX_REQUEST_MS + 1 } }, 'event', 'options.request'],
    [{ request: { timeout_ms: 5, group: 'g' } }, 'private', 'options.request'],
    [{ request: { timeout_ms: 5, more: 1 } }, 'event', 'options.request'],
    [{ deliver_at: '2030-01-01T00:00:00Z', delay_seconds: 1 }, 'event', 'options.delay_seconds'],
    [{ ephemeral: true, expect: { sequence: 1 } }, 'event', 'options.expect'],
    [{ delay_seconds: 1, expect: { sequence: 1 } }, 'event', 'options.expect'],
    [{ delay_seconds: 1, request: { timeout_ms: 5 } }, 'event', 'options.request'],
    [{ ephemeral: true, receipt: 'workers' }, 'event', 'options.receipt'],
  ] as const)('refuses %j of %s, naming what is wrong', (options, type, field) => {
    const error = refusal(options, type);
    expect(error?.code).toBe('VALIDATION_ERROR');
    expect(error?.details.field).toBe(field);
  });
});

describe('decode', () => {
  const frame = (fields: object): string => JSON.stringify({ id: 'arq_1', type: 'event', payload: {}, ...fields });

  it('P2.11 hands the options on, refuses unknown ones, and has none when there are none', () => {
    expect(decode(frame({ options: { ttl_seconds: 5 } }))).toMatchObject({ options: { ttl_seconds: 5 } });
    expect(decode(frame({ options: {} }))).toMatchObject({ options: undefined });
    expect(decode(frame({}))).toMatchObject({ options: undefined });
    const refused = decode(frame({ options: { teleport: true } }));
    expect(isRefusal(refused) && refused.requestId).toBe('arq_1');
  });

  it('makes a private message of an event that names its recipients, with the options of one', () => {
    expect(decode(frame({ to: 'sub:ada' }))).toMatchObject({ type: 'private', to: ['sub:ada'] });
    expect(decode(frame({ to_client: 'x', options: { receipt: true } }))).toMatchObject({ type: 'private' });
    expect(decode(frame({ payload: { target: 'x' } }))).toMatchObject({ type: 'event', to: undefined });
    expect(decode(frame({ to: 'x', options: { expect: { sequence: 1 } } }))).toMatchObject({
      code: 'VALIDATION_ERROR',
    });
  });
});

describe('wireOptions', () => {
  it('names them as the wire does', () => {
    const request = { timeoutMs: 5, group: 'g' };
    const given = { ttlSeconds: 1, expect: { lastId: 'arq_1' }, deliverAt: new Date(0), receipt: 'g', request };
    expect(wireOptions({ ...given, ephemeral: false, delaySeconds: 2 })).toEqual({
      ttl_seconds: 1,
      expect: { last_id: 'arq_1' },
      ephemeral: false,
      deliver_at: '1970-01-01T00:00:00.000Z',
      delay_seconds: 2,
      receipt: 'g',
      request: { timeout_ms: 5, group: 'g' },
    });
    expect(wireOptions({})).toBeUndefined();
  });
});
