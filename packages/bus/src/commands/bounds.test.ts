import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { BusRig } from '../operators/rig.suite.ts';
import { createWebhookOperator, DEFAULT_WEBHOOK_OPTIONS, type WebhookOperator } from '../operators/webhook/webhook.ts';
import { boundsOf, fieldOf, findExcess, schemaNode } from './bounds.ts';

const POSITION = z.strictObject({ sequence: z.number(), epoch: z.string() }).meta({ id: 'CountedPosition' });
const MAP = z.record(z.string(), POSITION).meta({ maxProperties: 3 });

function excess(schema: z.ZodType, value: unknown): unknown {
  return findExcess(boundsOf(schemaNode(schema)), value);
}

/** Many members of whom none may be looked at. */
function untouchable(count: number, key: (at: number) => string = (at) => `k${at}`): Record<string, unknown> {
  const members = Object.fromEntries(Array.from({ length: count }, (_value, at) => [key(at), 1]));
  return new Proxy(members, {
    get: (_target, name) => {
      throw new Error(`${String(name)} was read`);
    },
  });
}

describe('findExcess', () => {
  it('counts keys and items without reading one of them', () => {
    expect(excess(z.strictObject({ map: MAP }), { map: untouchable(4) })).toEqual({
      field: 'map',
      problem: 'must have at most 3 keys',
    });
    const list = z.strictObject({ list: z.array(z.string()).max(2) });
    expect(excess(list, { list: [1, 2, 3] })).toEqual({ field: 'list', problem: 'must have at most 2 items' });
  });

  it('lets pass what keeps to its bounds, and leaves values and a few unknown keys to the schema', () => {
    const schema = z.strictObject({ map: MAP, list: z.array(z.string()).max(2), any: z.unknown() });
    expect(excess(schema, { map: { a: 1, b: 2, c: 3 }, list: [1, 2], any: untouchable(100), strange: 1 })).toBeNull();
    expect(excess(schema, { map: 7, list: null })).toBeNull();
    expect(excess(schema, 'text')).toBeNull();
    expect(excess(z.unknown(), untouchable(100))).toBeNull();
  });

  it('names an unknown key of an object that has many of them', () => {
    const schema = z.strictObject({ one: z.strictObject({ k0: z.number().exactOptional() }) });
    expect(excess(schema, { one: untouchable(100) })).toEqual({ field: 'one.k1', problem: 'is not known here' });
  });

  it('looks into lists, maps and references', () => {
    const schema = z.strictObject({ rules: z.array(z.strictObject({ by: MAP.exactOptional() })).max(5) });
    const fault = { field: 'rules.1.by', problem: 'must have at most 3 keys' };
    expect(excess(schema, { rules: [{}, { by: untouchable(9) }] })).toEqual(fault);
    const position = { sequence: 1, ...Object.fromEntries(strangers(40)) };
    expect(excess(schema, { rules: [{ by: { a: position } }] })).toEqual({
      field: 'rules.0.by.a.s0',
      problem: 'is not known here',
    });
  });

  it('takes the form with most room of what has several', () => {
    const WIDE = z.record(z.string(), z.number()).meta({ maxProperties: 30 });
    const schema = z.strictObject({ since: z.union([POSITION, z.string(), WIDE, z.boolean()]) });
    expect(excess(schema, { since: untouchable(40) })).toEqual({
      field: 'since',
      problem: 'must have at most 30 keys',
    });
    expect(excess(schema, { since: { a: 1, b: 1, c: 1 } })).toBeNull();
    expect(excess(z.union([MAP, z.unknown()]), untouchable(9))).toBeNull();
  });
});

function strangers(count: number): [string, number][] {
  return Array.from({ length: count }, (_value, at) => [`s${at}`, at]);
}

describe('fieldOf', () => {
  it('is cut where keys are long, between characters', () => {
    expect(fieldOf(['a', 0, 'b'])).toBe('a.0.b');
    expect(fieldOf([])).toBe('args');
    expect(fieldOf([`${'x'.repeat(255)}😀`])).toBe(`${'x'.repeat(255)}\ufffd`);
  });
});

describe('a command with more than it may have', () => {
  let rig: BusRig<WebhookOperator>;
  beforeAll(() => {
    rig = new BusRig(createMemoryEngine(), (bus) => createWebhookOperator(bus, DEFAULT_WEBHOOK_OPTIONS));
  });
  afterAll(() => rig.stop());

  it.each([
    ['join_channel', { room: 'a', since: untouchable(1_001) }, 'since', '1000 keys'],
    ['history', { room: 'a', since: untouchable(1_001, (at) => `:${at}`) }, 'since', '1000 keys'],
    ['history', { room: 'a', before: untouchable(1_001) }, 'before', '1000 keys'],
    ['op.webhook.register', { url: 'https://example.com', headers: untouchable(33) }, 'headers', '32 keys'],
    ['identify', { card: { skills: Array(1_001).fill(1) } }, 'card.skills', '1000 items'],
    ['identify', { card: untouchable(1_001) }, 'card', '1000 keys'],
    ['ping', untouchable(100), 'k0', 'is not known here'],
  ] as const)('is refused by counting: %s %#', async (name, args, field, problem) => {
    const { code, message, details } = await rig.refused(rig.connect(), name, args);
    expect({ code, field: details.field }).toEqual({ code: 'VALIDATION_ERROR', field });
    expect(message).toContain(problem);
  });

  it('lists 20 faults at most', async () => {
    const since = Object.fromEntries(strangers(900));
    const { details } = await rig.refused(rig.connect(), 'delivery.ack', { tokens: Array(400).fill(7) });
    expect(details.faults).toHaveLength(20);
    const { message } = await rig.refused(rig.connect(), 'history', { room: 'a', since });
    expect(message.length).toBeLessThan(1_000);
  });
});
