import type { CasilSettings } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { Inspected } from './inspect.ts';
import { CasilLayer } from './layer.ts';
import { Offenders } from './offenders.ts';
import { REDACTED } from './redaction.ts';
import { DEFAULT_CASIL_SETTINGS } from './settings.ts';
import { NO_ROOM, OTHER_ROOMS } from './tally.ts';

/** A clock that stands still until it is set. */
class StillClock {
  time = Date.UTC(2030, 0, 1);
  readonly now = (): number => this.time;
}

function open(settings: Partial<CasilSettings> = {}, clock = new StillClock()): CasilLayer {
  const opened = CasilLayer.open({ ...DEFAULT_CASIL_SETTINGS, enabled: true, mode: 'enforce', ...settings }, clock);
  if (!opened.ok) throw new Error(JSON.stringify(opened.faults));
  return opened.layer;
}

const secret: Inspected = { type: 'event', room: 'ops', channel: 'log', payload: { password: 'hunter2' } };

describe('CasilLayer', () => {
  it('does not open with faulty settings, and says why', () => {
    const opened = CasilLayer.open({ ...DEFAULT_CASIL_SETTINGS, max_patterns: -1, redaction_patterns: ['('] });
    expect(opened).toMatchObject({
      ok: false,
      faults: [{ setting: 'max_patterns' }, { setting: 'redaction_patterns' }],
    });
  });

  it('tells with one field whether there is anything to do', () => {
    const layer = open({ enabled: false });
    expect(layer.enabled).toBe(false);
    expect(layer.redactForObservability(secret)).toBe(secret.payload);
    expect(layer.reload({ enabled: true }).ok).toBe(true);
    expect(layer.enabled).toBe(true);
    expect(layer.redactForObservability(secret)).toEqual({ password: REDACTED });
  });

  it('reloads what is given and keeps the rest', () => {
    const clock = new StillClock();
    const layer = open({ block_on_probable_secret: true }, clock);
    expect(layer.inspect(secret).decision).toBe('BLOCK');
    clock.time += 1_000;
    const reloaded = layer.reload({ mode: 'monitor', redaction_patterns: ['x+'] });
    expect(reloaded).toEqual({
      ok: true,
      snapshot: {
        ...DEFAULT_CASIL_SETTINGS,
        enabled: true,
        mode: 'monitor',
        block_on_probable_secret: true,
        redaction_patterns: ['x+'],
        revision: 2,
        loaded_at: '2030-01-01T00:00:01.000Z',
      },
    });
    expect(layer.inspect(secret)).toMatchObject({ decision: 'ALLOW', wouldBe: 'BLOCK' });
  });

  it('keeps the old policy when anything is wrong with the new one, listing every fault', () => {
    const layer = open({ block_on_probable_secret: true });
    const before = layer.snapshot(true);
    const reloaded = layer.reload({ mode: 'monitor', max_inspect_bytes: -1, redaction_patterns: ['ok', '('] });
    expect(reloaded).toMatchObject({
      ok: false,
      faults: [{ setting: 'max_inspect_bytes' }, { setting: 'redaction_patterns' }],
    });
    expect(layer.snapshot(true)).toEqual(before);
    expect(layer.inspect(secret).decision).toBe('BLOCK');
  });

  it('checks what is given together with what is in force', () => {
    const layer = open({ redaction_patterns: ['a', 'b'] });
    expect(layer.reload({ max_patterns: 1 })).toMatchObject({ ok: false, faults: [{ setting: 'redaction_patterns' }] });
    expect(layer.reload({ max_patterns: 1, redaction_patterns: ['a'] }).ok).toBe(true);
  });

  it('shows patterns only when asked to, and never its own lists', () => {
    const layer = open({ redaction_patterns: ['a'] });
    expect(layer.snapshot(false)).not.toHaveProperty('redaction_patterns');
    layer.snapshot(true).redaction_patterns?.push('b');
    layer.snapshot(true).redaction_paths.push('c');
    expect(layer.snapshot(true).redaction_patterns).toEqual(['a']);
    expect(layer.policy.settings.redaction_paths).not.toContain('c');
  });

  it('counts verdicts by decision, reason and room', () => {
    const layer = open();
    layer.inspect(secret);
    layer.inspect(secret);
    layer.inspect({ ...secret, payload: {}, room: undefined, channel: undefined });
    expect([...layer.tally.decisions()]).toEqual([
      { decision: 'ALLOW_WITH_REDACTION', reason: 'CASIL_POLICY_REDACTED', room: 'ops', count: 2 },
      { decision: 'ALLOW', reason: 'CASIL_POLICY_ALLOWED', room: NO_ROOM, count: 1 },
    ]);
  });

  it('bounds the rooms it counts by name', () => {
    const layer = open();
    for (let i = 0; i < 150; i++) layer.inspect({ ...secret, payload: {}, room: `room-${i}` });
    const counts = [...layer.tally.decisions()];
    expect(counts).toHaveLength(101);
    expect(counts.find(({ room }) => room === OTHER_ROOMS)?.count).toBe(50);
  });
});

describe('repeat offenders', () => {
  it('are reported at the fifth block within a minute, once', () => {
    const clock = new StillClock();
    const layer = open({}, clock);
    const blocks = (count: number): boolean[] =>
      Array.from({ length: count }, () => {
        clock.time += 10_000;
        return layer.blocked('client-a');
      });
    expect(blocks(6)).toEqual([false, false, false, false, true, false]);
    clock.time += 60_000;
    expect(blocks(5)).toEqual([false, false, false, false, true]);
  });

  it('are not those who were blocked over a longer time, or as another client', () => {
    const offenders = new Offenders();
    for (let i = 0; i < 20; i++) expect(offenders.blocked('slow', i * 15_001)).toBe(false);
    for (let i = 0; i < 20; i++) expect(offenders.blocked(`client-${i}`, 0)).toBe(false);
  });

  it('are forgotten when they leave, and when there are too many', () => {
    const offenders = new Offenders();
    for (let i = 0; i < 4; i++) offenders.blocked('gone', i);
    offenders.forget('gone');
    expect(offenders.blocked('gone', 5)).toBe(false);
    for (let i = 0; i < 20_000; i++) offenders.blocked(`client-${i}`, i);
    expect(offenders.size).toBe(10_000);
    for (let i = 0; i < 3; i++) offenders.blocked('client-19999', 20_000);
    expect(offenders.blocked('client-19999', 20_000)).toBe(true);
  });
});
