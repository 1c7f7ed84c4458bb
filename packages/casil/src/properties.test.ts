import type { CasilSettings, JsonObject } from '@arqonbus/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { explain } from './explain.ts';
import * as inspection from './inspect.ts';
import { type Inspected, inspect } from './inspect.ts';
import { compilePolicy, type Policy } from './policy.ts';
import { REDACTED } from './redaction.ts';
import { SECRET_RULES } from './secrets.ts';
import { DEFAULT_CASIL_SETTINGS } from './settings.ts';

const PATTERNS = [
  'EMP-\\d+',
  'RED',
  '\\*+',
  'x\\*',
  '\\bcat\\b',
  'a$',
  '^b',
  '(?m)^c',
  '[a-z]{3,}',
  '\\w+',
  '.',
  '(?s).+',
  '😀',
  '\\B1',
  'D\\*',
  '1\\z',
  '\\d+',
];
const PATHS = ['password', 'pin', '__proto__', 'a.b', 'a.*.c', '*.b', 'list.0', 'constructor'];

const pieces = fc.constantFrom(
  'a',
  'b1',
  'cat',
  ' ',
  '\n',
  'x',
  '*',
  'é',
  '😀',
  '\ud800',
  '\udfff',
  '"',
  '\\',
  '\u0000',
  REDACTED,
  '***RED',
  'EMP-12',
  'password=',
  'Bearer ',
  '://u:',
  '@',
  ...SECRET_RULES.map((rule) => rule.example),
);
const text = fc.array(pieces, { maxLength: 6 }).map((parts) => parts.join(''));
const key = fc.oneof(
  fc.constantFrom(
    'a',
    'b',
    'c',
    'list',
    'pin',
    'Password',
    'token',
    'api_key',
    'secret',
    '__proto__',
    'constructor',
    '',
    'toJSON',
    REDACTED,
    `${REDACTED}2`,
  ),
  text,
);
const leaf = fc.oneof({ weight: 4, arbitrary: text }, fc.constantFrom(null, true, 0, -1.5e300, 42));

/** Builds objects as JSON.parse does: a "__proto__" is a member like any other. */
function objectOf(entries: [string, unknown][]): JsonObject {
  return Object.fromEntries(entries);
}

const { tree } = fc.letrec<{ tree: JsonObject; value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    tie('tree') as fc.Arbitrary<unknown>,
  ),
  tree: fc.array(fc.tuple(key, tie('value')), { maxLength: 5 }).map(objectOf),
}));

const settings: fc.Arbitrary<Partial<CasilSettings>> = fc.record({
  mode: fc.constantFrom('monitor', 'enforce'),
  default_decision: fc.constantFrom('allow', 'block'),
  max_inspect_bytes: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.constant(65_536)),
  max_payload_bytes: fc.constantFrom(100, 262_144),
  block_on_probable_secret: fc.boolean(),
  transport_redaction: fc.boolean(),
  redaction_paths: fc.subarray(PATHS, { maxLength: 3 }),
  redaction_patterns: fc.subarray(PATTERNS, { maxLength: 4 }),
});

function policyOf(chosen: Partial<CasilSettings>): Policy {
  const compiled = compilePolicy({ ...DEFAULT_CASIL_SETTINGS, enabled: true, ...chosen });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.faults));
  return compiled.policy;
}

function subjectOf(payload: JsonObject, metadata?: JsonObject): Inspected {
  return { type: 'event', room: 'room', channel: 'channel', payload, metadata };
}

/** What observers are shown of a payload. */
function redactForObservability(policy: Policy, subject: Inspected): JsonObject {
  return inspection.redactForObservability(policy, subject).payload;
}

const REDACTED_NAME = /^\*{3}REDACTED\*{3}\d*$/;

/**
 * Whether `after` is `before` but for redactions: same shape, and what differs is a string that holds the token, or a
 * name that is one. Names that look like indexes come first in any object, so a redacted one changes its place.
 */
function isRedactionOf(after: unknown, before: unknown): boolean {
  if (Object.is(after, before) || after === REDACTED) return true;
  if (typeof after === 'string' && typeof before === 'string') {
    // What lies between the tokens was there before, in that order.
    let at = 0;
    return after.split(REDACTED).every((rest) => {
      const found = before.indexOf(rest, at);
      at = found + rest.length;
      return found >= 0;
    });
  }
  if (typeof after !== 'object' || typeof before !== 'object' || after === null || before === null) return false;
  if (Array.isArray(after) !== Array.isArray(before)) return false;
  const [left, came] = [Object.entries(before), Object.entries(after)];
  if (left.length !== came.length) return false;
  const rest = left.filter(([name]) => !Object.hasOwn(after, name));
  return came.every(([name, value]) => {
    if (Object.hasOwn(before, name)) return isRedactionOf(value, (before as JsonObject)[name]);
    return REDACTED_NAME.test(name) && isRedactionOf(value, rest.shift()?.[1]);
  });
}

const RUNS = { numRuns: 300 };

describe('for any payload and policy', () => {
  it('inspecting changes nothing of its input and always says the same', () => {
    fc.assert(
      fc.property(tree, tree, settings, (payload, metadata, chosen) => {
        const before = JSON.stringify([payload, metadata]);
        const verdict = inspect(policyOf(chosen), subjectOf(payload, metadata));
        expect(JSON.stringify([payload, metadata])).toBe(before);
        expect(inspect(policyOf(chosen), subjectOf(payload, metadata))).toEqual(verdict);
        expect(verdict.reasonCode).not.toBe('CASIL_INTERNAL_ERROR');
      }),
      RUNS,
    );
  });

  it('what is redacted is valid JSON, equal to the payload outside the redactions', () => {
    fc.assert(
      fc.property(tree, tree, settings, (payload, metadata, chosen) => {
        const policy = policyOf({
          ...chosen,
          mode: 'enforce',
          transport_redaction: true,
          block_on_probable_secret: false,
        });
        const verdict = inspect(policy, subjectOf(payload, metadata));
        const shown = inspection.redactForObservability(policy, subjectOf(payload, metadata));
        for (const [result, original] of [
          [verdict.payload, payload],
          [verdict.metadata, metadata],
          [shown.payload, payload],
          [shown.metadata, metadata],
        ]) {
          expect(isRedactionOf(JSON.parse(JSON.stringify(result)), JSON.parse(JSON.stringify(original)))).toBe(true);
          expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
        }
      }),
      RUNS,
    );
  });

  it('redacting what is redacted changes nothing', () => {
    fc.assert(
      fc.property(tree, tree, settings, (payload, metadata, chosen) => {
        const policy = policyOf({
          ...chosen,
          mode: 'enforce',
          transport_redaction: true,
          block_on_probable_secret: false,
          max_payload_bytes: 1_000_000,
        });
        const once = inspect(policy, subjectOf(payload, metadata));
        const twice = inspect(policy, subjectOf(once.payload, once.metadata));
        expect(twice.payload).toBe(once.payload);
        expect(twice.metadata).toBe(once.metadata);
        expect(twice.decision).toBe('ALLOW');
        const seen = inspection.redactForObservability(policy, subjectOf(payload, metadata));
        expect(inspection.redactForObservability(policy, subjectOf(seen.payload, seen.metadata))).toEqual(seen);
      }),
      RUNS,
    );
  });

  it('names that look like indexes are redacted like others, and once', () => {
    const numbered = fc.dictionary(fc.constantFrom('7', '12', '4111111111111111', 'a', 'EMP-12'), tree, { maxKeys: 5 });
    fc.assert(
      fc.property(numbered, fc.subarray(PATTERNS, { maxLength: 4 }), (payload, redaction_patterns) => {
        const policy = policyOf({ mode: 'enforce', transport_redaction: true, redaction_patterns });
        const once = inspect(policy, subjectOf(payload)).payload;
        expect(isRedactionOf(once, payload)).toBe(true);
        expect(inspect(policy, subjectOf(once)).payload).toBe(once);
      }),
    );
  });

  it('a rule id never holds what was matched', () => {
    fc.assert(
      fc.property(tree, (payload) => {
        const { rules } = inspect(policyOf({ redaction_patterns: ['EMP-\\d+'] }), subjectOf(payload));
        for (const rule of rules)
          expect(rule).toMatch(/^(?:secret:[a-z0-9_]+|key:[a-z]+|pattern:\d+|path:(?:password|token|secret))$/);
      }),
    );
  });

  it('nothing that addresses or identifies is changed, and all else that matches still counts', () => {
    const address = fc.constantFrom('science', 'EMP-12', 'cat', 'b1', 'a', SECRET_RULES[0]!.example);
    const types = fc.constantFrom('event', 'private', 'command', 'telemetry', 'profile');
    fc.assert(
      fc.property(types, address, address, tree, tree, settings, (type, room, id, content, metadata, chosen) => {
        const fixed: JsonObject = {
          command: { room, channel: id, key: room, group: id, job_id: id, url: `https://${room}/x`, to: [room, id] },
          telemetry: { eventType: id, room, channel: room },
          private: { target: [room, id] },
          profile: { client_type: 'human' },
        };
        const before = {
          ...(fixed[type] as JsonObject | undefined),
          ...(type === 'profile' ? {} : { payload: content }),
        };
        const ids = { causal_parent_id: id, correlation_id: room, reply_to: id, vector_clock: { [room]: 1 } };
        const subject: Inspected = {
          type,
          id: `arq_${id}`,
          room,
          channel: id,
          to: [room],
          payload: before,
          metadata: { ...metadata, ...ids },
        };
        const transparent = {
          ...chosen,
          mode: 'enforce',
          transport_redaction: true,
          default_decision: 'allow',
        } as const;
        const verdict = inspect(policyOf({ ...transparent, max_payload_bytes: 1_000_000 }), subject);
        for (const name of Object.keys((fixed[type] as JsonObject | undefined) ?? {})) {
          expect(verdict.payload[name]).toBe(before[name as keyof typeof before]);
        }
        for (const [name, value] of Object.entries(ids)) expect(verdict.metadata?.[name]).toBe(value);
      }),
      RUNS,
    );
  });

  it('the explanation agrees with the verdict', () => {
    fc.assert(
      fc.property(tree, settings, (payload, chosen) => {
        const policy = policyOf(chosen);
        const explanation = explain(policy, subjectOf(payload));
        expect(explanation.verdict).toEqual(inspect(policy, subjectOf(payload)));
        expect([...new Set(explanation.matches.map(({ rule }) => rule))]).toEqual(explanation.verdict.rules);
        expect(explanation.enforced.decision).toBe(explanation.verdict.wouldBe ?? explanation.verdict.decision);
      }),
    );
  });
});

describe('for inputs out of the ordinary', () => {
  const policy = policyOf({ mode: 'enforce', transport_redaction: true, redaction_patterns: PATTERNS.slice(0, 8) });

  it.each([65, 900, 5_000, 100_000])('does not throw on %i levels of nesting', (depth) => {
    let objects: JsonObject = { password: 'hunter2' };
    let arrays: unknown = 'cat';
    for (let level = 0; level < depth; level++) {
      objects = { a: objects };
      arrays = [arrays];
    }
    for (const payload of [objects, { arrays }]) {
      const verdict = inspect(policy, subjectOf(payload));
      expect(verdict.reasonCode).toBe(depth < 1_000 ? 'CASIL_POLICY_REDACTED' : 'CASIL_INTERNAL_ERROR');
      expect(redactForObservability(policy, subjectOf(payload))).toBeDefined();
    }
  });

  it('does not throw on what JSON cannot say', () => {
    class Money {
      amount = 1n;
    }
    const cycle: JsonObject = {};
    cycle.self = [cycle];
    const trap = Object.defineProperty({}, 'x', {
      enumerable: true,
      get() {
        throw new Error('trap');
      },
    });
    const odd: JsonObject[] = [
      { x: 1n },
      { f: () => 1 },
      { u: undefined, s: Symbol('s') },
      { d: new Date(0) },
      cycle,
      trap,
    ];
    odd.push({ money: new Money() }, { toJSON: () => 'password' }, { nan: Number.NaN, map: new Map([['a', 1]]) });
    for (const payload of odd) {
      expect(inspect(policy, subjectOf(payload)).decision).toBe('ALLOW');
      expect(redactForObservability(policy, subjectOf(payload))).toBeDefined();
      expect(explain(policy, subjectOf(payload)).verdict.decision).toBe('ALLOW');
    }
  });

  it('inspects strings of a mebibyte within its bounds', () => {
    const size = 1_048_576;
    const wide = policyOf({
      mode: 'enforce',
      max_inspect_bytes: 2 * size,
      max_payload_bytes: 4 * size,
      transport_redaction: true,
    });
    for (const unit of ['a', 'é', '😀', '\ud800', 'eyJ-', 'password=', REDACTED, '"\\']) {
      const payload = { text: unit.repeat(size / unit.length) };
      const verdict = inspect(wide, subjectOf(payload));
      expect(verdict.reasonCode).not.toBe('CASIL_INTERNAL_ERROR');
      expect(() => JSON.parse(JSON.stringify(verdict.payload))).not.toThrow();
      expect(inspect(policy, subjectOf(payload)).flags).toContain('partially_inspected');
    }
  });
});
