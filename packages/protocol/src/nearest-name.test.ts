import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nearestNames } from './nearest-name.ts';

const KNOWN = ['SERVER_PORT', 'HTTP_PORT', 'TELEMETRY_PORT', 'SERVER_HOST', 'LOG_LEVEL', 'casil.maxInspectBytes'];

describe('nearestNames', () => {
  it('forgives slips of the pen', () => {
    expect(nearestNames('SERVER_PROT', KNOWN)).toEqual(['SERVER_PORT']);
    expect(nearestNames('LOGLEVEL', KNOWN)).toEqual(['LOG_LEVEL']);
    expect(nearestNames('LOG_LEVELL', KNOWN)).toEqual(['LOG_LEVEL']);
    expect(nearestNames('casil.max_inspect_bytes', KNOWN)).toEqual(['casil.maxInspectBytes']);
  });

  it('takes the nearer of two', () => {
    expect(nearestNames('SERVER_HOSTS', ['SERVER_PORT', 'SERVER_HOST', 'SERVER_GHOST'])).toEqual(['SERVER_HOST']);
  });

  it('finds the names that hold a word', () => {
    expect(nearestNames('PORT', KNOWN)).toEqual(['SERVER_PORT', 'HTTP_PORT', 'TELEMETRY_PORT']);
  });

  it('says nothing when nothing is near', () => {
    expect(nearestNames('XYZZY', KNOWN)).toEqual([]);
  });

  it('finds each known name with one letter changed', () => {
    fc.assert(
      fc.property(fc.constantFrom(...KNOWN), fc.nat(), (name, nat) => {
        const at = nat % name.length;
        expect(nearestNames(`${name.slice(0, at)}q${name.slice(at + 1)}`, KNOWN)).toEqual([name]);
      }),
    );
  });

  it('answers known names alone, whatever it is asked', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        for (const found of nearestNames(name, KNOWN)) expect(KNOWN).toContain(found);
      }),
    );
    expect(nearestNames('x'.repeat(1_000_000), KNOWN)).toEqual([]);
  });
});
