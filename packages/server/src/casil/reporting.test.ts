import { Events, type Happening } from '@arqonbus/bus';
import { casil, type Inspection } from '@arqonbus/casil';
import type { CasilSettings, JsonObject } from '@arqonbus/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DecisionReporter } from './reporting.ts';

const ADA = { id: 'arq_client_ada' };

function message(payload: JsonObject, tenant = 'acme'): Inspection {
  return { type: 'event', id: 'arq_1', tenant, room: 'ops', channel: 'log', payload };
}

/** A guard whose decisions are reported, and what came of the reports. */
class Rig {
  now = 1_000;
  readonly happened: Happening[] = [];
  readonly lines: [string, JsonObject, string][] = [];
  readonly seconds: number[] = [];
  readonly guard: ReturnType<typeof casil>;

  constructor(settings: Partial<CasilSettings>) {
    const events = new Events('node', (error) => {
      throw error;
    });
    events.on((happening) => this.happened.push(happening));
    const reporter = new DecisionReporter({
      events,
      log: (...line) => this.lines.push(line),
      observe: (seconds) => this.seconds.push(seconds),
      now: () => this.now,
    });
    const onDecision = reporter.tell.bind(reporter);
    this.guard = casil({ mode: 'enforce', ...settings }, { onDecision, now: () => this.now });
  }

  send(payload: JsonObject, tenant?: string): void {
    try {
      this.guard.inspect(message(payload, tenant), ADA);
    } catch {
      // Blocked: that is told like everything else.
    }
  }

  get told(): string[] {
    return this.happened.map(({ event: { eventType, payload } }) => `${eventType} ${payload.decision ?? ''}`.trim());
  }
}

describe('DecisionReporter', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('writes a line and an event for what was redacted or blocked, without what was matched', () => {
    const rig = new Rig({});
    rig.send({ password: 'hunter2' });
    const facts = {
      decision: 'ALLOW_WITH_REDACTION',
      reason_code: 'CASIL_POLICY_REDACTED',
      kind: 'data',
      risk_level: 'high',
      flags: ['contains_probable_secret'],
      rules: ['key:password', 'path:password'],
      room: 'ops',
      channel: 'log',
      client_id: ADA.id,
      message_id: 'arq_1',
    };
    expect(rig.lines).toEqual([['info', { tenant: 'acme', ...facts }, 'content redacted']]);
    expect(rig.happened).toMatchObject([{ tenant: 'acme', event: { eventType: 'casil_decision', payload: facts } }]);
    expect(rig.seconds).toHaveLength(1);
  });

  it('tells each only where the policy says so', () => {
    const silent = new Rig({ metadata_to_logs: false, metadata_to_telemetry: false, block_on_probable_secret: true });
    silent.send({ password: 'hunter2' });
    expect([silent.lines, silent.told]).toEqual([[], []]);
    expect(silent.seconds).toHaveLength(1);
    const logged = new Rig({ metadata_to_telemetry: false, block_on_probable_secret: true });
    logged.send({ password: 'hunter2' });
    expect(logged.lines.map(([level, , text]) => [level, text])).toEqual([['warn', 'content blocked']]);
    expect(logged.told).toEqual([]);
  });

  it('tells plain passes ten times a second at most, of each tenant', () => {
    const rig = new Rig({});
    for (let i = 0; i < 250; i++) {
      rig.now += 1;
      rig.send({ text: 'hello' }, 'acme');
      if (i === 100) rig.send({ text: 'hello' }, 'other');
    }
    expect(rig.happened.map(({ tenant }) => tenant)).toEqual(['acme', 'acme', 'other', 'acme']);
    expect(rig.lines).toEqual([]);
  });

  it('tells twenty decisions of a sender in a second, and the rest of it as one with their number', () => {
    vi.useFakeTimers();
    const rig = new Rig({ block_on_probable_secret: true });
    for (let i = 0; i < 500; i++) rig.send({ password: 'hunter2' });
    const decisions = (): string[] => rig.told.filter((what) => what.startsWith('casil_decision'));
    expect([rig.lines.length, decisions().length]).toEqual([20, 20]);
    vi.advanceTimersByTime(1_000);
    expect([rig.lines.length, decisions().length]).toEqual([21, 21]);
    expect(rig.lines.at(-1)).toMatchObject([
      'warn',
      { decision: 'BLOCK', client_id: ADA.id, count: 480 },
      expect.anything(),
    ]);
    rig.send({ password: 'hunter2' });
    vi.advanceTimersByTime(1_000);
    expect(rig.lines.at(-1)?.[1]).not.toHaveProperty('count');
    expect(rig.lines).toHaveLength(22);
    expect(rig.seconds).toHaveLength(501);
  });

  it('tells of a repeat offender once, whatever else is told', () => {
    const rig = new Rig({ block_on_probable_secret: true, metadata_to_logs: false, metadata_to_telemetry: false });
    for (let i = 0; i < 7; i++) rig.send({ password: 'hunter2' });
    expect(rig.happened).toMatchObject([
      {
        tenant: 'acme',
        event: {
          eventType: 'casil_repeat_violation',
          severity: 'warning',
          payload: { client_id: ADA.id, room: 'ops', channel: 'log', reason_code: 'CASIL_POLICY_BLOCKED_SECRET' },
        },
      },
    ]);
  });
});
