import { decode, isRefusal, newId } from '@arqonbus/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { payloadText, payloadValue } from '../raw-payload.ts';
import { type PlainEvent, readPlainEvent } from './plain-event.ts';

const read = (text: string, strict = false): PlainEvent | null => readPlainEvent(Buffer.from(text), strict);
const eventWith = (payload: string): string =>
  `{"version":"1.0","id":"arq_a","type":"event","room":"science","channel":"explore","payload":${payload}}`;

/** Whether the frame was recognized; then it must be what `decode` makes of it, with the payload's text unchanged. */
function agrees(text: string, strict = false): boolean {
  const plain = read(text, strict);
  if (plain === null) return false;
  const whole = decode(text, strict);
  if (isRefusal(whole)) throw new Error(`recognized what is refused with: ${whole.message}`);
  const id = text.includes('"id":') ? whole.id : plain.id;
  expect({ ...plain, payload: payloadValue(plain.payload) }).toEqual({ ...whole, id });
  expect(payloadText(plain.payload)).toBe(JSON.stringify(whole.payload));
  return true;
}

describe('the usual event', () => {
  it('is recognized, with its payload as text', () => {
    const payload =
      '{"mark":"~1~","at":{"site":"north","floor":-3},"value":21.53,"tags":["a",null,true,false,[]],"n":{}}';
    expect(agrees(eventWith(payload), true)).toBe(true);
    expect(read(eventWith(payload))?.payload).toMatchObject({ text: payload });
  });

  it('may have its fields in any order, and need not have them all', () => {
    expect(agrees('{"payload":{"a":1},"ack":true,"channel":"a/b","room":"r","type":"event","id":"arq_x"}')).toBe(true);
    expect(agrees('{"type":"event","ack":false,"room":"r"}')).toBe(true);
    expect(agrees('{"type":"event"}')).toBe(true);
    expect(read('{"type":"event"}')?.id).toMatch(/^arq_/);
  });

  it('keeps text beyond ASCII, and short escapes', () => {
    expect(agrees(eventWith('{"a":"grüß 漢字 🚀\u2028\u007f","b":"\\"\\\\\\b\\f\\n\\r\\t"}'))).toBe(true);
  });

  it('has fresh names where two names share a slot of the cache', () => {
    for (let round = 0; round < 2; round += 1) {
      for (let n = 0; n < 3_000; n += 1) {
        expect(read(`{"type":"event","room":"r${n}","channel":"c${n}"}`)).toMatchObject({
          room: `r${n}`,
          channel: `c${n}`,
        });
      }
    }
  });
});

describe('what it leaves to decode', () => {
  it.each([
    ['another type', '{"type":"command"}'],
    ['the alias of a type', '{"type":"message"}'],
    ['no type', '{"room":"r"}'],
    ['another version', '{"version":"2.0","type":"event"}'],
    ['other fields', '{"type":"event","options":{"ttl_seconds":1}}'],
    ['recipients', '{"type":"event","to":"arq_client_a"}'],
    ['a repeated field', '{"type":"event","room":"a","room":"b"}'],
    ['an id without its prefix', '{"type":"event","id":"1"}'],
    ['an empty id', '{"type":"event","id":"arq_"}'],
    ['an address in one field', '{"type":"event","room":"a:b"}'],
    ['a wildcard', '{"type":"event","room":"a","channel":"*"}'],
    ['a name that begins with a dot', '{"type":"event","room":".a"}'],
    ['an escape in a name', '{"type":"event","room":"\\u0061"}'],
    ['null for a field', '{"type":"event","ack":null}'],
    ['an array as payload', '{"type":"event","payload":[]}'],
    ['text after it', '{"type":"event"} '],
    ['a missing brace', '{"type":"event"'],
    ['a comma at its end', '{"type":"event",}'],
    ['an empty object', '{}'],
    ['no object', '[]'],
    ['nothing', ''],
  ])('%s', (_, text) => {
    expect(read(text)).toBeNull();
  });

  it.each([
    ['white space', '{"a": 1}'],
    ['a line break', '{\n"a":1}'],
    ['a repeated key', '{"a":1,"b":2,"a":3}'],
    ['a repeated key in an inner object', '{"a":[{"b":1,"b":1}]}'],
    ['a key like an index', '{"b":1,"1":2}'],
    ['an escape of a code', '{"a":"\\u0041"}'],
    ['half of a surrogate pair', '{"a":"\\ud800"}'],
    ['an escaped slash', '{"a":"\\/"}'],
    ['an unknown escape', '{"a":"\\x"}'],
    ['an escape in a key', '{"\\n":1}'],
    ['a control character', '{"a":"\u0001"}'],
    ['a zero behind the point', '{"a":1.50}'],
    ['an exponent', '{"a":1e5}'],
    ['an exponent after a fraction', '{"a":1.5E5}'],
    ['minus zero', '{"a":-0}'],
    ['minus alone', '{"a":-}'],
    ['a leading zero', '{"a":01}'],
    ['a point alone', '{"a":1.}'],
    ['more digits than a double keeps', '{"a":9007199254740993}'],
    ['a number below a millionth', '{"a":0.0000001}'],
    ['a word', '{"a":nil}'],
    ['a number glued to a word', '{"a":1true}'],
    ['a missing value', '{"a":}'],
    ['a missing colon', '{"a"}'],
    ['a comma too many', '{"a":1,}'],
    ['a comma too many in an array', '{"a":[1,]}'],
    ['the wrong bracket', '{"a":[1}}'],
  ])('a payload with %s', (_, payload) => {
    expect(read(eventWith(payload))).toBeNull();
  });
});

describe('its limits', () => {
  it('are the lengths of names and ids', () => {
    const [longest, tooLong] = ['n'.repeat(128), 'n'.repeat(129)];
    for (const field of ['room', 'channel']) {
      expect(agrees(`{"type":"event","${field}":"${longest}"}`)).toBe(true);
      expect(read(`{"type":"event","${field}":"${tooLong}"}`)).toBeNull();
    }
    expect(agrees(`{"type":"event","id":"arq_${'i'.repeat(124)}"}`)).toBe(true);
    expect(read(`{"type":"event","id":"arq_${'i'.repeat(125)}"}`)).toBeNull();
  });

  it('are 64 levels', () => {
    const nested = (levels: number): string => `${'{"a":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}`;
    expect(agrees(eventWith(nested(64)))).toBe(true);
    expect(read(eventWith(nested(65)))).toBeNull();
    expect(decode(eventWith(nested(65)))).toMatchObject({ code: 'VALIDATION_ERROR' });
  });

  it('are 64 keys in the objects that are open at once, and any number in turn', () => {
    const keys = (count: number): string => `{${Array.from({ length: count }, (_, n) => `"k${n}":${n}`).join(',')}}`;
    expect(agrees(eventWith(keys(64)))).toBe(true);
    expect(read(eventWith(keys(65)))).toBeNull();
    expect(agrees(eventWith(`{"a":[${Array(100).fill(keys(60)).join(',')}]}`))).toBe(true);
  });

  it('are stricter in strict mode', () => {
    expect(read('{"version":"1.0","type":"event","id":"arq_a"}', true)).toBeNull();
    expect(read('{"version":"1.0","type":"event","payload":{}}', true)).toBeNull();
    expect(read('{"type":"event","id":"arq_a","payload":{}}', true)).toBeNull();
    expect(agrees('{"version":"1.0","type":"event","id":"arq_a","payload":{}}', true)).toBe(true);
  });
});

describe('whatever arrives', () => {
  it('recognizes everything that JSON.stringify writes, with few exceptions', () => {
    const key = fc.string({ maxLength: 5 }).filter((text) => !/^\d/.test(text) && JSON.stringify(text) === `"${text}"`);
    const leaf = fc.oneof(fc.string(), fc.boolean(), fc.constant(null), fc.integer());
    const { payload } = fc.letrec((tie) => ({
      value: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('value')), tie('payload')),
      payload: fc.dictionary(key, tie('value'), { maxKeys: 8, noNullPrototype: true }),
    }));
    fc.assert(
      fc.property(payload, (value) => {
        const text = JSON.stringify(value);
        // A lone surrogate is written as an escape.
        fc.pre(!text.includes('\\u') && (text.match(/":/g)?.length ?? 0) < 64);
        expect(agrees(eventWith(text))).toBe(true);
      }),
    );
  });

  it('agrees with decode on numbers, however they are spelled', () => {
    const digits = fc.string({ unit: fc.constantFrom(...'0123456789'), maxLength: 18 });
    let recognized = 0;
    fc.assert(
      fc.property(fc.constantFrom('', '-'), digits, fc.constantFrom('', '.', 'e', '.0'), digits, (...parts) => {
        if (agrees(eventWith(`{"n":${parts.join('')}}`))) recognized += 1;
      }),
      { numRuns: 2_000 },
    );
    expect(recognized).toBeGreaterThan(50);
  });

  it('agrees with decode on JSON in unusual spellings', () => {
    const string = fc.constantFrom('""', '"a"', '"\\n"', '"\\u000a"', '"\\/"', '"é"', '"\\ud83d\\ude80"', '"🚀"');
    const number = fc.constantFrom('0', '-0', '1', '-1.5', '1.0', '1e2', '0.000001', '0.0000001', '12345678901234567');
    const gap = fc.constantFrom('', '', '', '', ' ', '\n');
    const key = fc.constantFrom('"a"', '"b"', '"c"', '""', '"0"', '"\\u0061"', '"__proto__"', '"ü"');
    const { object } = fc.letrec<{ value: string; object: string; array: string }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        string,
        number,
        fc.constantFrom('true', 'null'),
        tie('array'),
        tie('object'),
      ),
      array: fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(',')}]`),
      object: fc
        .array(fc.tuple(gap, key, tie('value')), { maxLength: 4 })
        .map((members) => `{${members.map(([space, name, value]) => `${space}${name}:${value}`).join(',')}}`),
    }));
    let recognized = 0;
    fc.assert(
      fc.property(object, (payload) => {
        if (agrees(eventWith(payload))) recognized += 1;
      }),
      { numRuns: 2_000 },
    );
    expect(recognized).toBeGreaterThan(50);
  });

  it('agrees with decode on a frame in which one character is another one, is missing or comes twice', () => {
    const frame = `{"version":"1.0","id":"${newId()}","type":"event","room":"r","channel":"c","payload":{"a":[1,-2.5,"x\\n"],"b":{"c":null}},"ack":true}`;
    const replacement = fc.oneof(
      fc.constantFrom(...'{}[]":,\\ 019.-eEtaf/'),
      fc.string({ minLength: 0, maxLength: 2 }),
    );
    let recognized = 0;
    fc.assert(
      fc.property(fc.nat({ max: frame.length - 1 }), replacement, fc.boolean(), (at, text, strict) => {
        // As the WebSocket delivers it: valid UTF-8.
        const changed = `${frame.slice(0, at)}${text}${frame.slice(at + 1)}`.toWellFormed();
        if (agrees(changed, strict)) recognized += 1;
      }),
      { numRuns: 5_000 },
    );
    expect(recognized).toBeGreaterThan(50);
  });
});
