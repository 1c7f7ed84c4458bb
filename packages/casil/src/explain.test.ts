import type { CasilSettings, JsonObject } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { type Explanation, explain } from './explain.ts';
import { compilePolicy } from './policy.ts';
import { DEFAULT_CASIL_SETTINGS } from './settings.ts';

const KEY = `ghp_${'a1B2c3D4e5F6'.repeat(3)}`;

function explainFor(payload: JsonObject, settings: Partial<CasilSettings> = {}): Explanation {
  const compiled = compilePolicy({ ...DEFAULT_CASIL_SETTINGS, ...settings });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.faults));
  return explain(compiled.policy, { type: 'event', room: 'ops', channel: 'log', payload });
}

describe('explain', () => {
  it('says rule by rule where something matched, never what', () => {
    const explanation = explainFor(
      { 'a b': [{ note: `${KEY} ${KEY} EMP-1` }], user: { password: 'hunter2' } },
      { mode: 'enforce', transport_redaction: true, redaction_patterns: ['EMP-\\d'], redaction_paths: ['user.*'] },
    );
    expect(explanation.matches).toEqual([
      { rule: 'secret:github_token', description: 'GitHub token', path: '$["a b"][0].note' },
      { rule: 'pattern:0', description: 'The pattern EMP-\\d', path: '$["a b"][0].note' },
      { rule: 'key:password', description: expect.stringContaining('"password"'), path: '$.user.password' },
      { rule: 'path:user.*', description: 'The redaction path user.*', path: '$.user.password' },
    ]);
    expect(explanation.transportRedacted).toBe(true);
    expect(JSON.stringify({ ...explanation, verdict: undefined })).not.toMatch(/hunter2|ghp_|EMP-1/);
  });

  it('says what enforce would decide while monitoring, and that the layer is off', () => {
    expect(explainFor({ key: KEY }, { block_on_probable_secret: true })).toMatchObject({
      enabled: false,
      mode: 'monitor',
      enforced: { decision: 'BLOCK', reasonCode: 'CASIL_POLICY_BLOCKED_SECRET' },
      verdict: { decision: 'ALLOW', reasonCode: 'CASIL_MONITOR_MODE', wouldBe: 'BLOCK' },
      transportRedacted: false,
    });
  });

  it('says which globs decided the scope', () => {
    const settings = { scope_include: ['ops', 'x'], scope_exclude: ['log', 'ops:l*'], never_log_payload_for: ['ops'] };
    expect(explainFor({ key: KEY }, settings)).toMatchObject({
      scope: {
        inScope: false,
        includesAll: false,
        includedBy: ['ops'],
        excludedBy: ['log', 'ops:l*'],
        neverLogged: true,
      },
      matches: [],
      enforced: { decision: 'ALLOW', reasonCode: 'CASIL_OUT_OF_SCOPE' },
    });
    expect(explainFor({}).scope).toEqual({
      inScope: true,
      includesAll: true,
      includedBy: [],
      excludedBy: [],
      neverLogged: false,
    });
  });

  it('says how large the payload is and what that means', () => {
    expect(explainFor({ a: 'é' }, { max_payload_bytes: 9, max_inspect_bytes: 9 }).size).toEqual({
      bytes: 10,
      maxPayloadBytes: 9,
      oversize: true,
      maxInspectBytes: 9,
      partiallyInspected: true,
    });
  });

  it('says why a payload could not be inspected', () => {
    const cycle: JsonObject = {};
    cycle.self = cycle;
    expect(explainFor(cycle, { default_decision: 'block', mode: 'enforce' })).toMatchObject({
      failure: expect.stringContaining('circular'),
      size: { bytes: undefined },
      enforced: { decision: 'BLOCK', reasonCode: 'CASIL_INTERNAL_ERROR' },
    });
  });
});
