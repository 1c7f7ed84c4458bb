import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';
import { Arqon } from './arqon.ts';

let server: TestServer;
let arqon: Arqon;

beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_OMEGA_ENABLED: 'true', ARQONBUS_WEBHOOK_ALLOW_HOSTS: '127.0.0.1' });
});
afterAll(() => server.stop());
beforeEach(() => {
  arqon = Arqon.at(server);
});
afterEach(() => arqon.stop());

describe('arqon store', () => {
  it('sets, gets, lists and deletes', async () => {
    expect((await arqon.run(['store', 'set', 'a/colour', '"blue"'])).stdout).toBe('version 1\n');
    expect((await arqon.run(['store', 'get', 'a/colour'])).stdout).toBe('"blue"\n');
    expect(await arqon.json(['store', 'get', 'a/colour', '--json'])).toEqual({
      found: true,
      value: 'blue',
      version: 1,
    });
    expect(await arqon.json(['store', 'set', 'a/size', '-', '--json'], { input: '{"w":1}' })).toMatchObject({
      version: 2,
    });
    expect((await arqon.run(['store', 'list', '--prefix', 'a/'])).stdout).toBe('a/colour\na/size\n');
    expect((await arqon.json(['store', 'list', '--prefix', 'a/', '--limit', '1', '--json'])).next).toBe('a/colour');
    expect((await arqon.run(['store', 'get', 'a/colour', '--namespace', 'other'])).code).toBe(1);
    expect(await arqon.json(['store', 'delete', 'a/colour', '--json'])).toEqual({ deleted: true });
    const gone = await arqon.run(['store', 'delete', 'a/colour']);
    expect([gone.code, gone.stderr]).toEqual([1, 'arqon: there is no key "a/colour".\n']);
    expect((await arqon.run(['store', 'set', 'a/x', 'blue'])).code).toBe(2);
  });

  it('compares and sets', async () => {
    expect((await arqon.run(['store', 'set', 'lock', '1', '--if-version', '0'])).code).toBe(0);
    const lost = await arqon.run(['store', 'set', 'lock', '2', '--if-version', '0']);
    expect(lost.code).toBe(1);
    expect(lost.stderr).toContain('(CONFLICT)');
  });

  it('watches in one terminal what another changes', async () => {
    const watch = arqon.start(['store', 'watch', '--prefix', 'w/', '--json', '--limit', '2']);
    // Only what the watch has been told of proves that it watches.
    for (let n = 0; !watch.lines.some((line) => line.includes('"key":"w/x"')); n += 1) {
      await arqon.run(['store', 'set', 'w/x', String(n)]);
    }
    await arqon.run(['store', 'set', 'other', '1']);
    await arqon.run(['store', 'delete', 'w/x']);
    const { code, stdout } = await watch.ended;
    expect(code).toBe(0);
    for (const line of stdout.trimEnd().split('\n')) expect(JSON.parse(line)).toMatchObject({ key: 'w/x' });
  });
});

describe('arqon rules, explain and access', () => {
  it('replaces rules, and says where one cannot be read', async () => {
    const rules = [{ match: 'orders:*', history: { size: 5 }, publish: 'nobody' }];
    expect((await arqon.run(['rules', 'set', '-'], { input: JSON.stringify(rules) })).stdout).toBe('version 1\n');
    expect(await arqon.json(['rules', 'get', '--json'])).toEqual({ version: 1, rules, base: [] });
    expect((await arqon.run(['rules', 'get'])).stdout).toContain(
      'orders:*\t{"history":{"size":5},"publish":"nobody"}\tstore',
    );
    const wrong = await arqon.run(['rules', 'set', '-'], { input: '[{"match":"a:b","publich":"nobody"}]' });
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain('did you mean "publish"?');
    const late = await arqon.run(['rules', 'set', '-', '--if-version', '0'], { input: '[]' });
    expect(late.stderr).toContain('(CONFLICT)');
    expect((await arqon.run(['rules', 'set', '-'], { input: '{}' })).code).toBe(2);
  });

  it('explains what would come of an event', async () => {
    const refused = await arqon.run(['explain', 'orders:new', '{"id":7}']);
    expect(refused.stdout).toContain('it would be refused: A rule lets only the server publish to orders:new.');
    expect(refused.stdout).toContain('history.size\t5\torders:*');
    const as = ['--as-subject', 'ada', '--as-grant', 'publish=other:*', '--json'];
    const explained = await arqon.json(['explain', 'other:x', ...as]);
    expect(explained).toMatchObject({ may: { publish: true, subscribe: false }, publish: { allowed: true } });
  });

  it('keeps subjects and tokens out', async () => {
    expect((await arqon.run(['access', 'block', 'mallory', '--reason', 'spam'])).stdout).toContain(
      'mallory\tuntil unblocked\tspam',
    );
    expect((await arqon.run(['access', 'revoke', '--jti', 'x1'])).stdout).toContain('token x1');
    expect((await arqon.json(['access', 'list', '--json'])).blocks).toMatchObject([{ subject: 'mallory' }]);
    expect((await arqon.run(['access', 'unblock', 'mallory'])).stdout).toBe('mallory may come in again\n');
    expect((await arqon.run(['access', 'revoke', '--subject', 'mallory'])).code).toBe(2);
  });
});

describe('arqon cron', () => {
  it('schedules what stays after it has gone, lists and cancels it', async () => {
    const job = await arqon.json(['cron', 'schedule', 'beat:tick', '{"n":1}', '--cron', '0 8 * * *', '--json']);
    expect(job).toMatchObject({ room: 'beat', channel: 'tick', durable: true });
    expect((await arqon.json(['cron', 'list', '--json'])).jobs).toMatchObject([{ job_id: job.job_id }]);
    expect((await arqon.run(['cron', 'list'])).stdout).toMatch(/\tbeat:tick\t0 8 \* \* \*/);
    expect((await arqon.run(['cron', 'cancel', job.job_id])).code).toBe(0);
    expect((await arqon.run(['cron', 'cancel', job.job_id])).stderr).toContain('(NOT_FOUND)');
  });

  it('keeps a temporary job as long as it runs itself', async () => {
    const tail = arqon.start(['tail', 'beat:temp', '--type', 'event', '--limit', '1', '--raw']);
    const schedule = ['cron', 'schedule', 'beat:temp', '{"n":1}', '--interval-seconds', '1', '--repeat', '0'];
    const running = arqon.start([...schedule, '--temporary']);
    await tail.ended;
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(0);
    expect((await arqon.json(['cron', 'list', '--json'])).jobs).toEqual([]);
  });
});

describe('arqon webhook', () => {
  it('registers, lists, tells of dead letters and unregisters, and shows no secret', async () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    writeFileSync(join(arqon.folder, 'secret'), `${secret}\n`);
    const register = [
      'webhook',
      'register',
      'http://127.0.0.1:1/hook',
      'hooked:here',
      '--secret-file',
      'secret',
      '--json',
    ];
    const first = await arqon.run([...register, '--send-header', 'X-Key: hidden-value']);
    expect([first.code, first.stderr]).toEqual([0, '']);
    const rule = JSON.parse(first.stdout);
    expect(rule).toMatchObject({ room: 'hooked', channel: 'here', signed: true, durable: true });
    const listed = await arqon.run(['webhook', 'list']);
    expect(listed.stdout).toContain(`${rule.rule_id}\thttp://127.0.0.1:1/hook\thooked:here\tyes\tyes`);
    for (const { stdout, stderr } of [first, listed]) expect(stdout + stderr).not.toMatch(/MfKQ9r8|hidden-value/);
    expect(await arqon.json(['webhook', 'dead-letters', rule.rule_id, '--json'])).toEqual({
      dead_letters: [],
      count: 0,
    });
    expect((await arqon.run(['webhook', 'retry', rule.rule_id])).stdout).toBe('0 queued again\n');
    expect((await arqon.run(['webhook', 'unregister', rule.rule_id])).code).toBe(0);
    expect((await arqon.json(['webhook', 'list', '--json'])).rules).toEqual([]);
  });
});

describe('arqon omega', () => {
  it('drives the lane', async () => {
    expect((await arqon.run(['omega', 'status'])).stdout).toMatch(/^enabled +yes$/m);
    const id = (await arqon.run(['omega', 'register', 'lattice', 'tensor', '{"cells":4}'])).stdout.trim();
    expect((await arqon.json(['omega', 'substrates', '--json'])).substrates).toMatchObject([{ substrate_id: id }]);
    const event = await arqon.json(['omega', 'emit', id, 'spike', '{"level":3}', '--json']);
    expect((await arqon.run(['omega', 'events', '--signal', 'spike'])).stdout).toContain(event.event_id);
    expect((await arqon.run(['omega', 'clear', '--signal', 'spike'])).stdout).toBe('1 removed, 0 left\n');
    expect((await arqon.run(['omega', 'unregister', id])).code).toBe(0);
  });
});

describe('arqon casil', () => {
  it('shows the policy in force and changes it', async () => {
    expect(await arqon.json(['casil', 'get', '--json'])).toMatchObject({
      enabled: false,
      mode: 'monitor',
      revision: 1,
    });
    const changed = await arqon.json(['casil', 'reload', '-', '--json'], { input: '{"mode":"enforce"}' });
    expect(changed).toMatchObject({ mode: 'enforce', revision: 2 });
    const wrong = await arqon.run(['casil', 'reload', '{"mode":"loud"}']);
    expect(wrong.code).toBe(1);
    expect((await arqon.run(['casil', 'get'])).stdout).toMatch(/^mode +enforce$/m);
  });

  it('shows what was decided in each room, and the policy of another tenant', async () => {
    await arqon.run(['casil', 'reload', '{"enabled":true}']);
    await arqon.run(['pub', 'vault:keys', '{"password":"hunter2"}', '--ack']);
    const { stdout } = await arqon.run(['casil', 'get']);
    expect(stdout).toMatch(/^vault\tALLOW_WITH_REDACTION\tCASIL_POLICY_REDACTED\t1$/m);
    await arqon.run(['casil', 'reload', '{"tenant":"acme","mode":"monitor"}']);
    expect((await arqon.run(['casil', 'get', '--tenant', 'acme'])).stdout).toMatch(/^mode +monitor$/m);
    await arqon.run(['casil', 'reload', '{"enabled":false}']);
  });
});
