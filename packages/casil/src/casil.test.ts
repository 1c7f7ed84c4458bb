import { BusError, type CasilSettings, type JsonObject, SERVER } from '@arqonbus/protocol';
import { describe, expect, it, vi } from 'vitest';
import { type Casil, type CasilDecision, casil, type Inspection } from './casil.ts';
import { REDACTED } from './redaction.ts';
import { OTHER_ROOMS } from './tally.ts';

const KEY = `ghp_${'a1B2c3D4e5F6'.repeat(3)}`;
const ADA = { id: 'arq_client_ada' };

function message(payload: JsonObject, more: Partial<Inspection> = {}): Inspection {
  return { type: 'event', id: 'arq_1', tenant: 'default', room: 'ops', channel: 'log', payload, ...more };
}

function refusalOf(guard: Casil, inspection: Inspection, sender = ADA): BusError {
  try {
    guard.inspect(inspection, sender);
  } catch (error) {
    if (error instanceof BusError) return error;
  }
  throw new Error('It was not refused.');
}

const BLOCKING: Partial<CasilSettings> = { mode: 'enforce', block_on_probable_secret: true };

describe('casil', () => {
  it('is on when settings are given, and off without', () => {
    expect(casil().enabledFor('default')).toBe(false);
    expect(casil({}).enabledFor('default')).toBe(true);
    expect(casil({ mode: 'enforce', enabled: false }).enabledFor('default')).toBe(false);
  });

  it('throws one error that lists everything wrong with the settings', () => {
    const open = (): Casil => casil({ mode: 'watch' as 'monitor', max_patterns: -1, redaction_patterns: ['(', 'a*'] });
    expect(open).toThrow(BusError);
    expect(open).toThrow(/mode must be one of .* max_patterns must be .* \("\("\) is not a valid .* matches the empty/);
  });

  it('passes on what it has nothing against, the very same objects', () => {
    const guard = casil(BLOCKING);
    const payload = { text: 'hello' };
    const metadata = { note: 'plain' };
    const passed = guard.inspect(message(payload, { metadata }), ADA);
    expect(passed.payload).toBe(payload);
    expect(passed.metadata).toBe(metadata);
    expect(passed).not.toHaveProperty('casil');
  });

  it('refuses a secret with its reason, and says where', () => {
    const error = refusalOf(casil(BLOCKING), message({ note: KEY }));
    expect(error.code).toBe('CASIL_POLICY_BLOCKED_SECRET');
    expect(error.details).toMatchObject({ reason: 'CASIL_POLICY_BLOCKED_SECRET', room: 'ops', channel: 'log' });
    expect(error.message).not.toContain(KEY);
  });

  it('hands on what is left after redaction, with the outcome if the policy says so', () => {
    const guard = casil({ mode: 'enforce', transport_redaction: true, metadata_to_envelope: true });
    expect(guard.inspect(message({ note: KEY, [KEY]: 1 }, { metadata: { note: KEY } }), ADA)).toEqual({
      payload: { note: REDACTED, [REDACTED]: 1 },
      metadata: { note: REDACTED },
      casil: {
        kind: 'data',
        risk_level: 'high',
        flags: ['contains_probable_secret'],
        reason_code: 'CASIL_POLICY_REDACTED',
        decision: 'ALLOW_WITH_REDACTION',
      },
    });
  });

  it('does not inspect what the server itself says', () => {
    const payload = { note: KEY };
    expect(casil(BLOCKING).inspect(message(payload), { id: SERVER }).payload).toBe(payload);
  });

  it('leaves what is out of scope alone', () => {
    const guard = casil({ ...BLOCKING, scope_include: ['vault'], metadata_to_envelope: true });
    const payload = { note: KEY };
    expect(guard.inspect(message(payload), ADA)).toEqual({ payload, metadata: undefined });
    expect(refusalOf(guard, message(payload, { room: 'vault' })).code).toBe('CASIL_POLICY_BLOCKED_SECRET');
  });
});

describe('what travels beside the payload', () => {
  const guard = casil({ ...BLOCKING, max_payload_bytes: 1_000, redaction_patterns: ['project-x'] });

  it.each([
    ['metadata', { metadata: { trace: { note: KEY } } }],
    ['names in the payload', { payload: { list: [{ map: { [KEY]: true } }] } }],
    ['names in the metadata', { metadata: { [KEY]: 1 } }],
    ['the room', { room: KEY }],
    ['the channel', { channel: 'project-x' }],
    ['a recipient', { type: 'private', to: ['sub:ada', `sub:${KEY}`] }],
    ['the id', { id: `arq_${KEY}` }],
    ['the id that it answers', { requestId: `arq_${KEY}` }],
    ['a profile', { type: 'profile', room: undefined, channel: undefined, payload: { screen_name: KEY } }],
    ['an argument that addresses', { type: 'command', payload: { room: 'a', channel: 'project-x' } }],
  ] as const)('is blocked for a secret in %s', (_where, more) => {
    expect(refusalOf(guard, message({}, more)).code).toBe('CASIL_POLICY_BLOCKED_SECRET');
  });

  it('counts with the payload against the size', () => {
    const half = 'q '.repeat(300);
    expect(guard.inspect(message({ half }), ADA).payload).toEqual({ half });
    expect(guard.inspect(message({}, { metadata: { half } }), ADA).metadata).toEqual({ half });
    expect(refusalOf(guard, message({ half }, { metadata: { half } })).code).toBe('CASIL_POLICY_OVERSIZE');
  });

  it('is not blocked for a number in a random id', () => {
    const digits = casil({ ...BLOCKING, redaction_patterns: ['\\d{4}'] });
    const more = { id: 'arq_12345678', to: ['arq_client_12345678'], metadata: { causal_parent_id: 'arq_12345678' } };
    expect(digits.inspect(message({}, more), ADA).payload).toEqual({});
    expect(refusalOf(digits, message({ pin: '1234' }, more)).code).toBe('CASIL_POLICY_BLOCKED_SECRET');
  });

  it('is only flagged where it addresses, when secrets are redacted', () => {
    const decisions: CasilDecision[] = [];
    const redacting = casil(
      { mode: 'enforce', transport_redaction: true, redaction_patterns: ['project-x'] },
      { onDecision: (decision) => decisions.push(decision) },
    );
    const args = { room: 'project-x', channel: 'general', since: { epoch: 'project-x' } };
    const join = message(args, { type: 'command', room: 'project-x', channel: 'general' });
    expect(redacting.inspect(join, ADA).payload).toBe(args);
    expect(decisions[0]).toMatchObject({
      verdict: { decision: 'ALLOW', reasonCode: 'CASIL_POLICY_ALLOWED', flags: ['contains_probable_secret'] },
      room: REDACTED,
    });
    const set = { key: 'project-x', value: 'about project-x' };
    expect(redacting.inspect(message(set, { type: 'command' }), ADA).payload).toEqual({
      key: 'project-x',
      value: `about ${REDACTED}`,
    });
  });
});

describe('decisions', () => {
  it('are told with all that reports need, before a refusal', () => {
    const decisions: CasilDecision[] = [];
    const guard = casil(BLOCKING, { onDecision: (decision) => decisions.push(decision) });
    guard.inspect(message({ note: 'hello' }), ADA);
    refusalOf(guard, message({ note: KEY }, { id: 'arq_2', room: undefined, channel: undefined, type: 'private' }));
    expect(decisions).toMatchObject([
      { tenant: 'default', type: 'event', room: 'ops', channel: 'log', senderId: ADA.id, messageId: 'arq_1' },
      { type: 'private', room: null, channel: null, messageId: 'arq_2', isRepeatViolation: false },
    ]);
    expect(decisions.map(({ verdict }) => verdict.decision)).toEqual(['ALLOW', 'BLOCK']);
    expect(decisions[1]?.settings.block_on_probable_secret).toBe(true);
    for (const { seconds } of decisions) expect(seconds).toBeGreaterThan(0);
  });

  it('stand whatever becomes of the report', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const guard = casil(BLOCKING, {
      onDecision: () => {
        throw new Error('the disk is full');
      },
    });
    expect(guard.inspect(message({ note: 'hello' }), ADA).payload).toEqual({ note: 'hello' });
    expect(refusalOf(guard, message({ note: KEY })).code).toBe('CASIL_POLICY_BLOCKED_SECRET');
    expect(warned).toHaveBeenCalledTimes(2);
    warned.mockRestore();
  });

  it('make a repeat offender with the fifth block in a minute, once', () => {
    let now = 0;
    const repeats: boolean[] = [];
    const guard = casil(BLOCKING, {
      now: () => now,
      onDecision: ({ isRepeatViolation }) => repeats.push(isRepeatViolation),
    });
    for (let i = 0; i < 6; i++) {
      now += 10_000;
      refusalOf(guard, message({ note: KEY }));
    }
    expect(repeats).toEqual([false, false, false, false, true, false]);
    guard.forget(ADA.id);
    refusalOf(guard, message({ note: KEY }));
    expect(repeats.at(-1)).toBe(false);
  });

  it('are counted by decision and reason, and by room for the tenant alone', () => {
    const guard = casil({ mode: 'enforce' });
    guard.inspect(message({ note: KEY }), ADA);
    guard.inspect(message({ note: KEY }, { tenant: 'acme', room: 'secret-plans' }), ADA);
    guard.inspect(message({}, { tenant: 'acme', room: undefined, channel: undefined }), ADA);
    expect(guard.decisions()).toEqual([
      { decision: 'ALLOW_WITH_REDACTION', reason: 'CASIL_POLICY_REDACTED', count: 2 },
      { decision: 'ALLOW', reason: 'CASIL_POLICY_ALLOWED', count: 1 },
    ]);
    expect(guard.roomDecisions('acme')).toEqual([
      { room: 'secret-plans', decision: 'ALLOW_WITH_REDACTION', reason: 'CASIL_POLICY_REDACTED', count: 1 },
      { room: '', decision: 'ALLOW', reason: 'CASIL_POLICY_ALLOWED', count: 1 },
    ]);
    expect(guard.roomDecisions('other')).toEqual([]);
  });

  it('are counted for a hundred rooms of a tenant, and the rest together', () => {
    const guard = casil({ mode: 'enforce' });
    for (let i = 0; i < 150; i++) guard.inspect(message({}, { room: `room-${i}` }), ADA);
    guard.inspect(message({}, { tenant: 'acme' }), ADA);
    const rooms = guard.roomDecisions('default');
    expect(rooms).toHaveLength(101);
    expect(rooms.find(({ room }) => room === OTHER_ROOMS)?.count).toBe(50);
    expect(guard.roomDecisions('acme')).toHaveLength(1);
  });

  it('are counted by room for a bounded number of tenants and rooms', () => {
    const guard = casil({ mode: 'enforce' });
    for (let i = 0; i < 1_001; i++) {
      for (let k = 0; k < 11; k++) guard.inspect(message({}, { tenant: `tenant-${i}`, room: `room-${k}` }), ADA);
    }
    expect(guard.roomDecisions('tenant-1000')).toEqual([]);
    const named = Array.from({ length: 1_001 }, (_, i) => guard.roomDecisions(`tenant-${i}`)).flat();
    expect(named.filter(({ room }) => room !== OTHER_ROOMS)).toHaveLength(10_000);
    expect(guard.decisions()[0]?.count).toBe(11_011);
  });
});

describe('what observers are shown', () => {
  it('is redacted while the policy is on, and all of it while it is off', () => {
    const inspection = message({ note: KEY }, { metadata: { note: KEY } });
    expect(casil({}).shown(inspection)).toEqual({ note: REDACTED });
    expect(casil({}).observe(inspection).metadata).toEqual({ note: REDACTED });
    expect(casil().shown(inspection)).toBe(inspection.payload);
  });
});

describe('the snapshot', () => {
  it('holds the settings with their revision, patterns only when asked for, and never the lists themselves', () => {
    const guard = casil({ redaction_patterns: ['a'] }, { now: () => Date.UTC(2030, 0, 1) });
    expect(guard.snapshot('default', true)).toMatchObject({
      enabled: true,
      redaction_patterns: ['a'],
      revision: 1,
      loaded_at: '2030-01-01T00:00:00.000Z',
      inherited: true,
    });
    expect(guard.snapshot('default', false)).not.toHaveProperty('redaction_patterns');
    guard.snapshot('default', true).redaction_patterns?.push('b');
    expect(guard.snapshot('default', true).redaction_patterns).toEqual(['a']);
  });
});

it('inspects one message in another mode than the policy, or not at all', () => {
  const guard = casil({ mode: 'enforce', block_on_probable_secret: true });
  const message = { id: 'arq_1', type: 'event', tenant: 'default', room: 'ops', channel: 'log' } as const;
  const secret = { ...message, payload: { note: 'use password=hunter2' } };
  const open = (mode: 'off' | 'monitor' | 'enforce' | null) => guard.inspect({ ...secret, mode }, { id: 'ada' });
  expect(() => open(null)).toThrow(/secret/);
  expect(() => open('enforce')).toThrow(/secret/);
  expect(open('off').payload).toBe(secret.payload);
  expect(open('monitor').payload).toBe(secret.payload);
  expect(guard.decisions().map(({ decision }) => decision)).toContain('ALLOW');
  const off = casil({ mode: 'enforce', block_on_probable_secret: true, enabled: false });
  expect(off.inspect({ ...secret, mode: 'enforce' }, { id: 'ada' }).payload).toBe(secret.payload);
});
