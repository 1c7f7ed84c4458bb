import type { OmegaEvent } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { Sender } from '../../connection/session.ts';
import { createMemoryEngine } from '../../engine/memory/memory.ts';
import type { Operator } from '../operator.ts';
import { BusRig } from '../rig.suite.ts';
import { createOmegaOperator } from './omega.ts';
import { MAX_EVENT_BYTES, OmegaStates } from './state.ts';

const LIMITS = { maxEvents: 1_000, maxSubstrates: 128 };

function open(): Promise<BusRig<Operator>> {
  const options = { ...LIMITS, enabled: true, labRoom: 'lab', labChannel: 'signals' };
  return new BusRig<Operator>(createMemoryEngine(), (bus) => createOmegaOperator(bus, options)).start();
}

async function register(rig: BusRig<Operator>, sender: Sender): Promise<string> {
  return (await rig.run(sender, 'op.omega.register_substrate', { name: 'n', kind: 'k' })).substrate_id;
}

describe('the omega lane', () => {
  it('asks the grants of admins and readers for its channel', async () => {
    const rig = await open();
    const admin = rig.connect();
    const substrate_id = await register(rig, admin);
    const elsewhere = rig.connect({ grants: { publish: ['other:*'], subscribe: ['other:*'], history: ['other:*'] } });
    for (const [name, args] of [
      ['register_substrate', { name: 'n', kind: 'k' }],
      ['unregister_substrate', { substrate_id }],
      ['emit_event', { substrate_id, signal: 's' }],
      ['clear_events', {}],
      ['list_events', {}],
      ['list_substrates', {}],
    ] as const) {
      expect(await rig.refusal(elsewhere, `op.omega.${name}`, args)).toEqual({ code: 'AUTHORIZATION_ERROR' });
    }
    const user = rig.connect({ role: 'user' });
    expect((await rig.refusal(user, 'op.omega.emit_event', { substrate_id, signal: 's' })).code).toBe(
      'AUTHORIZATION_ERROR',
    );
    // What is granted at the lab is enough: the telemetry of it is the server's own.
    const bound = rig.connect({ grants: { publish: ['lab:signals'], history: ['lab:*'] } });
    await rig.run(bound, 'op.omega.emit_event', { substrate_id, signal: 's' });
    expect(await rig.run(bound, 'op.omega.list_events', {})).toMatchObject({ count: 1 });
  });

  it('bounds what one event and one substrate carry', async () => {
    const rig = await open();
    const admin = rig.connect();
    const substrate_id = await register(rig, admin);
    const emit = (bytes: number): object => ({ substrate_id, signal: 's', payload: { a: 'x'.repeat(bytes - 8) } });
    await rig.run(admin, 'op.omega.emit_event', emit(65_536));
    expect(await rig.refusal(admin, 'op.omega.emit_event', emit(65_537))).toEqual({
      code: 'LIMIT_EXCEEDED',
      field: 'payload',
    });
    const metadata = { a: 'x'.repeat(16_384) };
    expect(await rig.refusal(admin, 'op.omega.register_substrate', { name: 'n', kind: 'k', metadata })).toEqual({
      code: 'LIMIT_EXCEEDED',
      field: 'metadata',
    });
  });

  it('lists substrates and events in pages, the newest events first', async () => {
    const rig = await open();
    const admin = rig.connect();
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) ids.push(await register(rig, admin));
    const first = await rig.run(admin, 'op.omega.list_substrates', { limit: 3 });
    const rest = await rig.run(admin, 'op.omega.list_substrates', { limit: 3, after: first.next });
    const listed = [...first.substrates, ...rest.substrates].map(({ substrate_id }) => substrate_id);
    expect([first.count, rest.count, new Set(listed)]).toEqual([3, 2, new Set(ids)]);
    expect(rest).not.toHaveProperty('next');
    for (let n = 0; n < 7; n += 1) {
      await rig.run(admin, 'op.omega.emit_event', { substrate_id: ids[n % 2], signal: `s${n}` });
    }
    const signals = ({ events }: { events: OmegaEvent[] }): string[] => events.map(({ signal }) => signal);
    const newest = await rig.run(admin, 'op.omega.list_events', { limit: 3 });
    expect(signals(newest)).toEqual(['s4', 's5', 's6']);
    const older = await rig.run(admin, 'op.omega.list_events', { limit: 3, after: newest.next });
    expect(signals(older)).toEqual(['s1', 's2', 's3']);
    const oldest = await rig.run(admin, 'op.omega.list_events', { limit: 3, after: older.next });
    expect([signals(oldest), oldest.next]).toEqual([['s0'], undefined]);
    const filtered = await rig.run(admin, 'op.omega.list_events', { substrate_id: ids[0], limit: 2 });
    expect(signals(filtered)).toEqual(['s4', 's6']);
    expect(await rig.refusal(admin, 'op.omega.list_events', { limit: 501 })).toMatchObject({ field: 'limit' });
    expect(await rig.refusal(admin, 'op.omega.list_events', { after: 'x' })).toMatchObject({ field: 'after' });
  });
});

describe('the state of a tenant', () => {
  const substrate = {
    substrate_id: 's',
    name: 'n',
    kind: 'k',
    metadata: {},
    registered_at: '2026-01-01T00:00:00.000Z',
  };
  const event = (n: number, text: string): OmegaEvent => {
    return { event_id: `e${n}`, substrate_id: 's', signal: 'x', payload: { text }, timestamp: '2026-01-01T00:00:00Z' };
  };

  it('keeps the newest events up to 8 MiB, and answers at most 1 MiB of them', () => {
    const states = new OmegaStates(LIMITS);
    states.register('t', substrate);
    const state = states.of('t');
    for (let n = 0; n < 200; n += 1) state.record(event(n, 'x'.repeat(65_000)));
    const { events } = state.counts();
    expect(events).toBe(Math.floor(MAX_EVENT_BYTES / (JSON.stringify(event(100, 'x'.repeat(65_000))).length + 1)));
    const page = state.events({}, 500, undefined);
    expect(page.events.at(-1)?.event_id).toBe('e199');
    expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThan(1_048_576);
    const seen: string[] = [];
    for (let after: string | undefined; ; ) {
      const each = state.events({}, 500, after);
      seen.unshift(...each.events.map(({ event_id }) => event_id));
      after = each.next;
      if (after === undefined) break;
    }
    expect(seen).toEqual(Array.from({ length: events }, (_, n) => `e${200 - events + n}`));
    expect(state.clear({})).toEqual({ removed_count: events, remaining_count: 0 });
    state.record(event(0, 'x'));
    expect(state.counts().events).toBe(1);
  });

  it('is there only while something is registered', () => {
    const states = new OmegaStates(LIMITS);
    expect(states.of('t').counts()).toEqual({ substrates: 0, events: 0 });
    expect(states.size).toBe(0);
    states.register('t', substrate);
    states.of('t').record(event(1, 'x'));
    expect(states.size).toBe(1);
    expect(states.unregister('t', 's')).toBe(1);
    expect(states.size).toBe(0);
    states.of('t').record(event(2, 'x'));
    expect(states.of('t').counts().events).toBe(0);
  });
});
