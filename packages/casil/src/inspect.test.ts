import type { CasilSettings, JsonObject } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import * as inspection from './inspect.ts';
import { casilMetadata, type Inspected, inspect, type Verdict } from './inspect.ts';
import { compilePolicy, type Policy } from './policy.ts';
import { REDACTED } from './redaction.ts';
import { DEFAULT_CASIL_SETTINGS } from './settings.ts';

const KEY = `ghp_${'a1B2c3D4e5F6'.repeat(3)}`;

function policy(settings: Partial<CasilSettings> = {}): Policy {
  const compiled = compilePolicy({ ...DEFAULT_CASIL_SETTINGS, enabled: true, mode: 'enforce', ...settings });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.faults));
  return compiled.policy;
}

function subject(payload: JsonObject, place: Partial<Inspected> = {}): Inspected {
  return { type: 'event', room: 'science', channel: 'explore', payload, ...place };
}

function verdictOn(
  payload: JsonObject,
  settings: Partial<CasilSettings> = {},
  place: Partial<Inspected> = {},
): Verdict {
  return inspect(policy(settings), subject(payload, place));
}

/** What observers are shown of a payload. */
function redactForObservability(policy: Policy, subject: Inspected): JsonObject {
  return inspection.redactForObservability(policy, subject).payload;
}

describe('decisions', () => {
  it('lets a clean payload pass, the very same object', () => {
    const payload = { text: 'hello', numbers: [1, 2, { deep: null }] };
    const verdict = verdictOn(payload, { transport_redaction: true });
    expect(verdict).toEqual({
      decision: 'ALLOW',
      reasonCode: 'CASIL_POLICY_ALLOWED',
      kind: 'data',
      riskLevel: 'low',
      flags: [],
      rules: [],
      addressMatched: false,
      payload,
      metadata: undefined,
      inScope: true,
    });
    expect(verdict.payload).toBe(payload);
  });

  it('blocks a secret when the policy says so', () => {
    const payload = { note: `use ${KEY}` };
    const verdict = verdictOn(payload, { block_on_probable_secret: true });
    expect(verdict).toMatchObject({
      decision: 'BLOCK',
      reasonCode: 'CASIL_POLICY_BLOCKED_SECRET',
      riskLevel: 'high',
      flags: ['contains_probable_secret'],
      rules: ['secret:github_token'],
    });
    expect(JSON.stringify({ ...verdict, payload: undefined })).not.toContain(KEY);
  });

  it('redacts a secret else: everywhere with transport_redaction, only for observers without', () => {
    const payload = { note: `use ${KEY}!` };
    const quiet = verdictOn(payload);
    expect(quiet).toMatchObject({ decision: 'ALLOW_WITH_REDACTION', reasonCode: 'CASIL_POLICY_REDACTED' });
    expect(quiet.payload).toBe(payload);
    expect(verdictOn(payload, { transport_redaction: true }).payload).toEqual({ note: `use ${REDACTED}!` });
    expect(payload.note).toContain(KEY);
  });

  it('redacts by path alone without calling it a secret', () => {
    expect(verdictOn({ token: 'hello' }, { transport_redaction: true })).toMatchObject({
      decision: 'ALLOW_WITH_REDACTION',
      reasonCode: 'CASIL_POLICY_REDACTED',
      riskLevel: 'low',
      flags: [],
      rules: ['path:token'],
      payload: { token: REDACTED },
    });
  });

  it('blocks what is larger than allowed, in UTF-8 bytes of the JSON', () => {
    const exact = { text: 'é'.repeat(10) };
    const bytes = Buffer.byteLength(JSON.stringify(exact));
    expect(verdictOn(exact, { max_payload_bytes: bytes }).decision).toBe('ALLOW');
    expect(verdictOn(exact, { max_payload_bytes: bytes - 1 })).toMatchObject({
      decision: 'BLOCK',
      reasonCode: 'CASIL_POLICY_OVERSIZE',
      riskLevel: 'medium',
      flags: ['oversize_payload'],
    });
    expect(verdictOn({ a: KEY }, { max_payload_bytes: 8, block_on_probable_secret: true })).toMatchObject({
      reasonCode: 'CASIL_POLICY_OVERSIZE',
      riskLevel: 'high',
      flags: ['contains_probable_secret', 'oversize_payload'],
    });
  });

  it('changes nothing in monitor mode, and tells what it would do', () => {
    const monitor = { mode: 'monitor', transport_redaction: true } as const;
    const payload = { note: KEY };
    const redacts = verdictOn(payload, monitor);
    expect(redacts).toMatchObject({
      decision: 'ALLOW',
      reasonCode: 'CASIL_MONITOR_MODE',
      wouldBe: 'ALLOW_WITH_REDACTION',
      riskLevel: 'high',
    });
    expect(redacts.payload).toBe(payload);
    expect(verdictOn(payload, { ...monitor, block_on_probable_secret: true }).wouldBe).toBe('BLOCK');
    expect(verdictOn(payload, { ...monitor, max_payload_bytes: 4 }).wouldBe).toBe('BLOCK');
    const clean = verdictOn({ note: 'hi' }, monitor);
    expect(clean.reasonCode).toBe('CASIL_POLICY_ALLOWED');
    expect(clean.wouldBe).toBeUndefined();
  });

  it.each([
    ['event', 'data'],
    ['private', 'data'],
    ['command', 'control'],
    ['telemetry', 'telemetry'],
  ] as const)('calls a %s %s', (type, kind) => {
    expect(verdictOn({}, {}, { type }).kind).toBe(kind);
  });
});

describe('scope', () => {
  const secret = { note: KEY };
  const place = (settings: Partial<CasilSettings>, room: string | undefined, channel: string | undefined) =>
    verdictOn(secret, settings, { room, channel });

  it('matches the address, the room and the channel; excluding wins', () => {
    expect(place({ scope_include: ['secure-*'] }, 'secure-payments', 'alerts').inScope).toBe(true);
    expect(place({ scope_include: ['secure-*'] }, 'ops', 'secure-log').inScope).toBe(true);
    expect(place({ scope_include: ['ops:alerts'] }, 'ops', 'alerts').inScope).toBe(true);
    expect(place({ scope_include: ['ops:*'] }, 'ops', '*').inScope).toBe(true);
    expect(place({ scope_include: ['ops'] }, 'ops', '*').inScope).toBe(true);
    expect(place({ scope_include: ['ops'] }, 'opsy', 'x').inScope).toBe(false);
    expect(place({ scope_include: ['*'], scope_exclude: ['ops:noise'] }, 'ops', 'noise').inScope).toBe(false);
    expect(place({ scope_exclude: ['noise'] }, 'ops', 'noise').inScope).toBe(false);
  });

  it('takes an address that stands in one of the two apart', () => {
    expect(place({ scope_include: ['ops'] }, 'ops:alerts', undefined).inScope).toBe(true);
    expect(place({ scope_include: ['alerts'] }, 'ops:alerts', undefined).inScope).toBe(true);
    expect(place({ scope_include: ['ops'] }, undefined, 'ops:alerts').inScope).toBe(true);
    expect(place({ scope_include: ['ops*'] }, undefined, 'ops').inScope).toBe(false);
    expect(place({ scope_include: ['ops:alerts'] }, 'ops:alerts', undefined).inScope).toBe(true);
  });

  it('has what goes to no room only in everything', () => {
    expect(place({}, undefined, undefined).inScope).toBe(true);
    expect(place({ scope_include: ['*'] }, undefined, undefined).inScope).toBe(true);
    expect(place({ scope_include: ['*:*'] }, undefined, undefined).inScope).toBe(false);
    expect(place({ scope_exclude: ['*'] }, undefined, undefined).inScope).toBe(false);
    expect(place({ scope_exclude: ['pm*'] }, undefined, undefined).inScope).toBe(true);
  });

  it('leaves alone what is out of it', () => {
    const verdict = place({ scope_include: ['other'], block_on_probable_secret: true }, 'ops', 'x');
    expect(verdict).toMatchObject({ decision: 'ALLOW', reasonCode: 'CASIL_OUT_OF_SCOPE', flags: [], rules: [] });
    expect(verdict.payload).toBe(secret);
  });
});

describe('failing', () => {
  const circular: JsonObject = {};
  circular.self = circular;

  it('decides by default_decision when a payload cannot be inspected', () => {
    expect(verdictOn(circular)).toMatchObject({ decision: 'ALLOW', reasonCode: 'CASIL_INTERNAL_ERROR' });
    expect(verdictOn(circular, { default_decision: 'block' })).toMatchObject({
      decision: 'BLOCK',
      reasonCode: 'CASIL_INTERNAL_ERROR',
    });
    expect(verdictOn(circular, { default_decision: 'block', mode: 'monitor' })).toMatchObject({
      decision: 'ALLOW',
      reasonCode: 'CASIL_INTERNAL_ERROR',
      wouldBe: 'BLOCK',
    });
  });

  it('shows observers nothing of it', () => {
    expect(redactForObservability(policy(), subject(circular))).toEqual({ redacted: REDACTED });
  });
});

describe('max_inspect_bytes', () => {
  it('flags a longer payload and finds what stands before the bound', () => {
    const near = verdictOn({ a: KEY, b: 'x'.repeat(200) }, { max_inspect_bytes: 60 });
    expect(near.flags).toEqual(['contains_probable_secret', 'partially_inspected']);
    const far = verdictOn({ b: 'x'.repeat(200), a: KEY }, { max_inspect_bytes: 60 });
    expect(far.flags).toEqual(['partially_inspected']);
    expect(far).toMatchObject({ decision: 'ALLOW', reasonCode: 'CASIL_POLICY_ALLOWED', riskLevel: 'low' });
  });

  it('still redacts by path and by name behind the bound', () => {
    const payload = { b: 'x'.repeat(200), user: { password: 'hunter2' } };
    const verdict = verdictOn(payload, { max_inspect_bytes: 60, transport_redaction: true, redaction_paths: [] });
    expect(verdict.payload).toEqual({ b: payload.b, user: { password: REDACTED } });
  });

  it('does not show observers what it did not inspect', () => {
    const shown = redactForObservability(
      policy({ max_inspect_bytes: 60 }),
      subject({ a: 'y'.repeat(40), b: 'x'.repeat(200), c: KEY, n: 7 }),
    );
    expect(shown).toEqual({
      a: 'y'.repeat(40),
      b: `${'x'.repeat(18)}${REDACTED}`,
      [REDACTED]: REDACTED,
      [`${REDACTED}2`]: 7,
    });
  });

  it('redacts the rest of a string in which it found something before the bound', () => {
    const payload = { a: `${KEY} ${'z'.repeat(100)} ${KEY}` };
    const verdict = verdictOn(payload, { max_inspect_bytes: 60, transport_redaction: true });
    expect(verdict.payload.a).toMatch(/^\*\*\*REDACTED\*\*\* z*\*\*\*REDACTED\*\*\*$/);
  });
});

describe('what is meant to hold secrets', () => {
  const register = { type: 'command', secretPaths: ['secret', 'headers', 'rules.*.key'] } as const;

  it('is passed on as it is, and the rest is inspected', () => {
    const args = { payload: {}, secret: KEY, headers: { 'x-api-key': KEY }, rules: [{ key: KEY }] };
    const blocking = { block_on_probable_secret: true };
    const verdict = verdictOn(args, blocking, register);
    expect(verdict).toMatchObject({ decision: 'ALLOW', flags: [] });
    expect(verdict.payload).toBe(args);
    expect(verdictOn({ ...args, payload: { a: KEY } }, blocking, register).decision).toBe('BLOCK');
    expect(verdictOn({ ...args, rules: [{ key: KEY, note: KEY }] }, blocking, register).decision).toBe('BLOCK');
    expect(verdictOn({ token: KEY }, blocking, { type: 'command', secretPaths: ['token'] }).decision).toBe('ALLOW');
    expect(verdictOn({ token: KEY }, blocking, { type: 'command' }).decision).toBe('BLOCK');
    expect(verdictOn({ deep: { secret: KEY } }, blocking, register).decision).toBe('BLOCK');
  });

  it('is shown to no observer, in scope or not', () => {
    const args = { url: 'https://hook.example', secret: KEY, rules: [{ key: KEY, on: 'x' }] };
    for (const settings of [{}, { scope_include: ['elsewhere'] }]) {
      expect(redactForObservability(policy(settings), subject(args, register))).toEqual({
        url: 'https://hook.example',
        secret: REDACTED,
        rules: [{ key: REDACTED, on: 'x' }],
      });
    }
  });

  it('can be all of a message: a policy never stands in the way of its own reload', () => {
    const args = { redaction_patterns: [KEY] };
    const place = { type: 'command', secretPaths: [''] } as const;
    const settings = { block_on_probable_secret: true, redaction_patterns: ['.+'], max_payload_bytes: 1 };
    const verdict = verdictOn(args, settings, { ...place, room: undefined, channel: undefined });
    expect(verdict.payload).toBe(args);
    expect(verdict.decision).toBe('ALLOW');
    expect(redactForObservability(policy(settings), subject(args, place))).toEqual({ redacted: REDACTED });
  });
});

describe('redactForObservability', () => {
  it('redacts in either mode, whatever transport_redaction says', () => {
    for (const mode of ['monitor', 'enforce'] as const) {
      const shown = redactForObservability(policy({ mode }), subject({ note: `a ${KEY}`, token: 1 }));
      expect(shown).toEqual({ note: `a ${REDACTED}`, token: REDACTED });
    }
  });

  it('replaces the whole payload where never_log_payload_for says so, out of scope too', () => {
    const settings = { never_log_payload_for: ['hr:*'], scope_include: ['science'] };
    expect(redactForObservability(policy(settings), subject({ a: 1 }, { room: 'hr' }))).toEqual({ redacted: REDACTED });
    const elsewhere = { a: KEY };
    expect(redactForObservability(policy(settings), subject(elsewhere, { room: 'ops' }))).toBe(elsewhere);
  });
});

describe('casilMetadata', () => {
  it('carries the outcome in the names of the wire', () => {
    expect(casilMetadata(verdictOn({ note: KEY }, { mode: 'monitor' }))).toEqual({
      kind: 'data',
      risk_level: 'high',
      flags: ['contains_probable_secret'],
      reason_code: 'CASIL_MONITOR_MODE',
      decision: 'ALLOW',
      would_be: 'ALLOW_WITH_REDACTION',
    });
    expect(casilMetadata(verdictOn({}))).not.toHaveProperty('would_be');
  });
});
