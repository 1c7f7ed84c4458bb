import type { CasilSettings } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { compilePolicy } from './policy.ts';
import { DEFAULT_CASIL_SETTINGS, type PolicyFault } from './settings.ts';

function faultsOf(settings: Record<string, unknown>): PolicyFault[] {
  const compiled = compilePolicy({ ...DEFAULT_CASIL_SETTINGS, ...(settings as Partial<CasilSettings>) });
  return compiled.ok ? [] : compiled.faults;
}

describe('compilePolicy', () => {
  it('takes the defaults', () => {
    expect(faultsOf({})).toEqual([]);
  });

  it('lists every fault at once, naming setting and entry', () => {
    expect(
      faultsOf({
        mode: 'watch',
        default_decision: 'maybe',
        enabled: 'yes',
        max_inspect_bytes: 0,
        max_payload_bytes: 1.5,
        scope_include: ['ok', '', 'has space'],
        redaction_paths: ['a..b', '*', 7],
        redaction_patterns: ['fine', '(', 'a*', '(?<=x)y'],
        surprise: 1,
      }),
    ).toEqual([
      { setting: 'enabled', message: 'enabled must be true or false.' },
      { setting: 'mode', message: 'mode must be one of "monitor", "enforce".' },
      { setting: 'default_decision', message: 'default_decision must be one of "allow", "block".' },
      { setting: 'scope_include', message: 'scope_include[1] ("") must not be empty.' },
      {
        setting: 'scope_include',
        message: 'scope_include[2] ("has space") may only hold what room and channel names are made of, ":" and "*".',
      },
      { setting: 'max_inspect_bytes', message: 'max_inspect_bytes must be a whole number from 1 to 67108864.' },
      { setting: 'max_payload_bytes', message: 'max_payload_bytes must be a whole number from 1 to 67108864.' },
      {
        setting: 'redaction_paths',
        message: 'redaction_paths[0] ("a..b") must not have an empty part between its dots.',
      },
      { setting: 'redaction_paths', message: 'redaction_paths[1] ("*") must name at least one field.' },
      { setting: 'redaction_paths', message: 'redaction_paths[2] must be a string.' },
      { setting: 'surprise', message: 'surprise is not a CASIL setting.' },
      {
        setting: 'redaction_patterns',
        message: expect.stringMatching(/^redaction_patterns\[1\] \("\("\) is not a valid RE2/),
      },
      { setting: 'redaction_patterns', message: 'redaction_patterns[2] ("a*") matches the empty string.' },
      { setting: 'redaction_patterns', message: expect.stringMatching(/^redaction_patterns\[3\] .*not a valid RE2/) },
    ]);
  });

  it('holds the number of patterns to max_patterns', () => {
    const patterns = ['a', 'b', 'c'];
    expect(faultsOf({ redaction_patterns: patterns, max_patterns: 3 })).toEqual([]);
    expect(faultsOf({ redaction_patterns: patterns, max_patterns: 2 })).toEqual([
      { setting: 'redaction_patterns', message: 'redaction_patterns has 3 entries; max_patterns allows 2.' },
    ]);
    expect(faultsOf({ redaction_patterns: [...patterns, '('], max_patterns: 2 }).map(({ message }) => message)).toEqual(
      ['redaction_patterns has 4 entries; max_patterns allows 2.', expect.stringMatching(/^redaction_patterns\[3\]/)],
    );
    expect(faultsOf({ redaction_patterns: patterns, max_patterns: 1_001 })[0]?.setting).toBe('max_patterns');
  });

  it('bounds every list and entry', () => {
    const many = Array.from({ length: 1_001 }, (_, i) => `room-${i}`);
    expect(faultsOf({ scope_exclude: many })[0]?.message).toBe('scope_exclude must not have more than 1000 entries.');
    expect(faultsOf({ scope_exclude: many.slice(1) })).toEqual([]);
    expect(faultsOf({ never_log_payload_for: ['x'.repeat(513)] })[0]?.message).toContain('longer than 512');
    expect(faultsOf({ redaction_paths: ['x'.repeat(257)] })[0]?.message).toContain('longer than 256');
    expect(faultsOf({ redaction_patterns: ['x'.repeat(513)] })[0]?.message).toContain('at most 512');
    expect(faultsOf({ redaction_patterns: 'abc' })[0]?.message).toBe('redaction_patterns must be a list of strings.');
  });

  it('refuses patterns that would be slow, alone and together', { timeout: 240_000 }, () => {
    expect(faultsOf({ redaction_patterns: ['a{1,1000}a{1,1000}$'] })[0]?.message).toContain('too large');
    expect(faultsOf({ redaction_patterns: ['(a|b)*a(a|b){14}'] })[0]?.message).toContain('too complex');
    const large = Array.from({ length: 40 }, (_, i) => `x${i}-(?:a|b){9}a(?:a|b)*-${i}`);
    expect(faultsOf({ redaction_patterns: large, max_patterns: 40 })[0]?.message).toMatch(
      /^redaction_patterns are too complex together/,
    );
  });

  it('keeps its own copy of the settings', () => {
    const settings = structuredClone(DEFAULT_CASIL_SETTINGS) as CasilSettings;
    const compiled = compilePolicy(settings);
    settings.redaction_paths.push('later');
    expect(compiled.ok && compiled.policy.settings.redaction_paths).toEqual(['password', 'token', 'secret']);
  });
});
