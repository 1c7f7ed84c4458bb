import { BusError } from '@arqonbus/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkHeaders } from './registration.ts';
import { openRig, type Rig } from './rig.suite.ts';

const URL = 'https://example.com/hook';

async function registered(rig: Rig, args: object): Promise<object> {
  return rig.run(rig.connect(), 'op.webhook.register', { url: URL, ...args });
}

describe('op.webhook.register', () => {
  it('answers the rule with its defaults', async () => {
    const rig = await openRig();
    const owner = rig.connect({ subject: 'alice' });
    const rule = await rig.run(owner, 'op.webhook.register', { url: URL });
    expect(rule).toEqual({
      rule_id: expect.stringMatching(/^whk_[0-9a-v]{26}$/),
      url: URL,
      room: null,
      channel: null,
      owner: 'alice',
      timeout_seconds: 2,
      durable: false,
      signed: false,
      on: ['message'],
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      queued: 0,
      delivered: 0,
      failed: 0,
      dropped: 0,
      dead_letters: 0,
    });
    const anonymous = rig.connect();
    expect((await rig.run(anonymous, 'op.webhook.register', { url: URL })).owner).toBe(anonymous.id);
  });

  it.each([
    [{ room: 'science' }, { room: 'science', channel: null }],
    [{ room: 'science:a/b' }, { room: 'science', channel: 'a/b' }],
    [{ channel: 'science:a' }, { room: 'science', channel: 'a' }],
    [
      { room: 'science', channel: 'a' },
      { room: 'science', channel: 'a' },
    ],
    [
      { room: 'science', channel: 'science:a' },
      { room: 'science', channel: 'a' },
    ],
    [
      { room: 'science', channel: '*' },
      { room: 'science', channel: null },
    ],
    [{ room: '*:*' }, { room: null, channel: null }],
    [{}, { room: null, channel: null }],
  ])('reads the place %j', async (args, place) => {
    expect(await registered(await openRig(), args)).toMatchObject(place);
  });

  it.each([
    [{ channel: 'a' }, 'room'],
    [{ room: '*', channel: 'a' }, 'room'],
    [{ room: 'sci*' }, 'room'],
    [{ room: 'science', channel: 'a*' }, 'channel'],
    [{ room: 'science:a', channel: 'b' }, 'channel'],
    [{ room: 'art', channel: 'science:a' }, 'room'],
    [{ room: '' }, 'room'],
    [{ room: 7 }, 'room'],
    [{ url: 'http://localhost/' }, 'url'],
    [{ url: undefined }, 'url'],
    [{ timeout_seconds: 0 }, 'timeout_seconds'],
    [{ timeout_seconds: 30.1 }, 'timeout_seconds'],
    [{ timeout_seconds: '2' }, 'timeout_seconds'],
    [{ headers: { Host: 'evil.example' } }, 'headers.Host'],
    [{ headers: { 'X-A': 'a\r\nX-B: b' } }, 'headers.X-A'],
    [{ headers: { 'X-A': 1 } }, 'headers.X-A'],
    [{ headers: ['X-A'] }, 'headers'],
    [{ secret: 'hush' }, 'secret'],
    [{ durable: 'yes' }, 'durable'],
    [{ retries: 3 }, 'retries'],
  ])('refuses %j, naming the argument', async (args, field) => {
    const rig = await openRig();
    expect(await rig.refusal(rig.connect(), 'op.webhook.register', { url: URL, ...args })).toEqual({
      code: 'VALIDATION_ERROR',
      field,
    });
    expect(rig.operator.ruleCount).toBe(0);
  });

  it('takes URLs of up to 2,048 characters', async () => {
    const rig = await openRig();
    const longest = `https://example.com/${'x'.repeat(2_048 - 20)}`;
    await rig.run(rig.connect(), 'op.webhook.register', { url: longest });
    expect(await rig.refusal(rig.connect(), 'op.webhook.register', { url: `${longest}x` })).toEqual({
      code: 'VALIDATION_ERROR',
      field: 'url',
    });
  });

  it('keeps a header called __proto__ from doing anything', async () => {
    const rig = await openRig();
    const args = JSON.parse(`{"url":"${URL}","headers":{"__proto__":"x"}}`) as object;
    await rig.run(rig.connect(), 'op.webhook.register', args);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });

  it('is described by help, as the other commands are', async () => {
    const rig = await openRig();
    const { commands } = await rig.run(rig.connect(), 'help', {});
    const ours = commands.filter(({ name }) => name.startsWith('op.webhook.'));
    expect(ours.map(({ name, role }) => [name, role]).sort()).toEqual(
      ['dead_letters', 'list', 'register', 'retry', 'unregister'].map((name) => [`op.webhook.${name}`, 'user']),
    );
    expect(ours.find(({ name }) => name.endsWith('register'))?.args).toMatchObject({
      required: ['url'],
      additionalProperties: false,
    });
  });

  it.each(['list', 'unregister', 'dead_letters', 'retry'] as const)(
    '%s refuses arguments that it does not know',
    async (name) => {
      const rig = await openRig();
      const args = name === 'list' ? { tenant: 'x' } : { rule_id: 'whk_x', tenant: 'x' };
      expect(await rig.refusal(rig.connect(), `op.webhook.${name}`, args)).toEqual({
        code: 'VALIDATION_ERROR',
        field: 'tenant',
      });
    },
  );
});

function refused(headers: Record<string, string>): BusError {
  try {
    checkHeaders(headers);
  } catch (error) {
    if (error instanceof BusError) return error;
    throw error;
  }
  throw new Error('not refused');
}

describe('checkHeaders', () => {
  it('takes what HTTP takes', () => {
    expect(checkHeaders({ Authorization: ' Bearer x\t', 'X-A!b': 'caf\u00e9', empty: '' })).toEqual([
      ['Authorization', 'Bearer x'],
      ['X-A!b', 'caf\u00e9'],
      ['empty', ''],
    ]);
  });

  it.each([
    'Host',
    'connection',
    'Keep-Alive',
    'Proxy-Connection',
    'proxy-authorization',
    'TE',
    'trailer',
    'Transfer-Encoding',
    'upgrade',
    'Expect',
    'Content-Length',
    'content-type',
    'Webhook-Id',
    'webhook-signature',
    'webhook-anything',
  ])('leaves %s to the delivery', (name) => {
    expect(refused({ [name]: 'x' })).toMatchObject({ code: 'VALIDATION_ERROR', details: { field: `headers.${name}` } });
  });

  it.each(['', 'a b', 'a:b', 'a\r\nb', 'a\0', 'caf\u00e9', '(a)', 'a/b'])('refuses the name %j', (name) => {
    expect(refused({ [name]: 'x' }).code).toBe('VALIDATION_ERROR');
  });

  it.each(['a\r\nX-Evil: 1', 'a\nb', 'a\0b', 'a\x7fb', '\u2028', '\u{1f600}'])(
    'refuses the value %j without repeating it',
    (value) => {
      const error = refused({ 'X-A': `hush${value}` });
      expect(error.code).toBe('VALIDATION_ERROR');
      expect(JSON.stringify([error.message, error.details])).not.toContain('hush');
    },
  );

  it('holds its limits', () => {
    const many = (count: number): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, '']));
    expect(checkHeaders(many(32)).length).toBe(32);
    expect(refused(many(33)).details).toEqual({ field: 'headers' });
    expect(checkHeaders({ 'x-a': 'v'.repeat(4_093) }).length).toBe(1);
    expect(refused({ 'x-a': 'v'.repeat(4_094) }).details).toEqual({ field: 'headers.x-a' });
    expect(refused({ 'x-a': '1', 'X-A': '2' }).details).toEqual({ field: 'headers.X-A' });
  });

  it('lets through nothing that could end a line', () => {
    const text = fc
      .array(fc.integer({ min: 0, max: 0x180 }), { maxLength: 12 })
      .map((codes) => String.fromCharCode(...codes));
    fc.assert(
      fc.property(text, text, (name, value) => {
        let checked: readonly (readonly [string, string])[] = [];
        try {
          checked = checkHeaders({ [name]: value });
        } catch (error) {
          expect(error).toBeInstanceOf(BusError);
        }
        for (const [key, text] of checked) expect(`${key}: ${text}`).toMatch(/^[!-~]+: [\t\x20-\x7e\x80-\xff]*$/);
      }),
    );
  });
});
