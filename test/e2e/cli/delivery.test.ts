import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Peer } from '../../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';
import { TcpProxy } from '../../fixtures/tcp-proxy.ts';
import { Arqon } from './arqon.ts';

// Each test starts the program several times.
vi.setConfig({ testTimeout: 60_000 });

let server: TestServer;
let arqon: Arqon;
let peer: Peer;

beforeAll(async () => {
  server = await startTestServer();
  peer = await Peer.connect(server.urls.bus);
});
afterAll(async () => {
  await peer.close();
  await server.stop();
});
beforeEach(() => {
  arqon = Arqon.at(server);
});
afterEach(() => arqon.stop());

async function publish(channel: string, ...payloads: readonly object[]): Promise<string[]> {
  const ids: string[] = [];
  for (const payload of payloads)
    ids.push((await peer.publish({ room: 'lab', channel, payload })).request_id as string);
  return ids;
}

function info(channel: string, group = 'g'): Promise<Record<string, unknown>> {
  return peer.ask('group.info', { room: 'lab', channel, group });
}

/** A command for `arqon work`: code of Node.js, which finds what it was given in `input` and `env`. */
function code(source: string): readonly string[] {
  const head = `const { env } = process; const input = JSON.parse(require('fs').readFileSync(0, 'utf8')); `;
  return ['--', process.execPath, '-e', head + source];
}

describe('arqon group', () => {
  it('makes, lists, tells of, seeks, pauses, resumes and deletes a group', async () => {
    const create = ['group', 'create', 'lab:orders', 'mailers', '--backoff-seconds', '0,2.5', '--key', 'payload.who'];
    const made = await arqon.json([...create, '--start', 'all', '--max-attempts', '2', '--json']);
    expect(made).toMatchObject({ group: 'mailers', backoff_seconds: [0, 2.5], key: 'payload.who', max_attempts: 2 });
    const other = await arqon.run([...create, '--max-attempts', '3']);
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('(CONFLICT)')]);
    expect((await arqon.run(['group', 'list', 'lab:orders'])).stdout).toMatch(
      /^mailers\tlab:orders\tpayload\.who\t2\t/,
    );
    await publish('orders', { n: 1 }, { n: 2 });
    const shown = await arqon.run(['group', 'info', 'lab:orders', 'mailers']);
    expect(shown.stdout).toMatch(/^pending +2$/m);
    expect((await arqon.run(['group', 'pause', 'lab:orders', 'mailers'])).stdout).toBe('mailers is paused\n');
    expect(await info('orders', 'mailers')).toMatchObject({ paused: true });
    expect((await arqon.run(['group', 'resume', 'lab:orders', 'mailers'])).stdout).toBe('mailers goes on\n');
    await arqon.run(['group', 'seek', 'lab:orders', 'mailers', '--sequence', '1']);
    expect(await info('orders', 'mailers')).toMatchObject({ paused: false, pending: 1 });
    expect((await arqon.run(['group', 'delete', 'lab:orders', 'mailers'])).code).toBe(0);
    expect((await arqon.run(['group', 'info', 'lab:orders', 'mailers'])).stderr).toContain('(NOT_FOUND)');
  });

  it.each([
    [['create', 'lab:x', 'g', '--start', 'yesterday'], 'Write new, all, 42@EPOCH, or a time'],
    [['create', 'lab:x', 'g', '--backoff-seconds', '1,soon'], 'Write seconds, separated by commas'],
    [['seek', 'lab:x', 'g'], 'give either --sequence or --time'],
  ])('says how %j is written', async (args, sentence) => {
    const { code: exit, stderr } = await arqon.run(['group', ...args]);
    expect([exit, stderr]).toEqual([2, expect.stringContaining(sentence)]);
  });
});

describe('arqon work', () => {
  it('runs a command for each event, which has the envelope and its facts, and acks what ends with 0', async () => {
    const [id] = await publish('jobs', { n: 1 }, { n: 2 });
    const script = `console.log(JSON.stringify([input.payload.n, input.id, env.ARQON_ROOM, env.ARQON_CHANNEL, env.ARQON_ID, env.ARQON_ATTEMPT, env.ARQON_GROUP]))`;
    const work = ['work', 'lab:jobs', '--group', 'g', '--start', 'all', '--limit', '2', ...code(script)];
    const { code: exit, stdout, stderr } = await arqon.run(work);
    expect([exit, stderr]).toEqual([0, 'arqon: 2 done, 0 to be done again, 0 rejected.\n']);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))[0],
    ).toEqual([1, id, 'lab', 'jobs', id, '1', 'g']);
    expect(await info('jobs')).toMatchObject({ handled: 2, pending: 0, unacked: 0 });
  });

  it('rejects at 65, and hands out again at 75 after a delay and at other codes after the waits of the group', async () => {
    await peer.ask('group.create', { room: 'lab', channel: 'codes', group: 'g', backoff_seconds: [0] });
    const [poison] = await publish('codes', { exit: 65 }, { exit: 75 }, { exit: 3 });
    // The first attempt fails as it is told, the next is done.
    const script = `process.exit(env.ARQON_ATTEMPT === '1' ? input.payload.exit : 0)`;
    const options = ['--limit', '5', '--delay-seconds', '0.2'];
    const { stderr } = await arqon.run(['work', 'lab:codes', '--group', 'g', ...options, ...code(script)]);
    expect(stderr).toContain('2 done, 2 to be done again, 1 rejected');
    expect(stderr).toContain('attempt 1: exit code 3.');
    expect(await info('codes')).toMatchObject({ handled: 2, rejected: 1, dead_letters: 1, pending: 0 });
    const dead = await arqon.run(['group', 'dead-letters', 'lab:codes', 'g']);
    expect(dead.stdout).toBe(`${poison}\tcodes\t1\t1\texit code 65\t{"exit":65}\n`);
    expect((await arqon.run(['group', 'retry', 'lab:codes', 'g', poison as string])).stdout).toBe(
      '1 handed out again\n',
    );
    const again = await arqon.run(['work', 'lab:codes', '--group', 'g', '--limit', '1', ...code('process.exit(0)')]);
    expect(again.stderr).toContain('1 done');
  });

  it('keeps an event for as long as its command runs', async () => {
    await publish('slow', { n: 1 });
    const making = ['--start', 'all', '--ack-wait-seconds', '2', '--max-attempts', '9'];
    const script = `setTimeout(() => console.log('attempt ' + env.ARQON_ATTEMPT), 5000)`;
    const work = ['work', 'lab:slow', '--group', 'g', ...making, '--limit', '1', ...code(script)];
    const { stdout, stderr } = await arqon.run(work);
    expect([stdout, stderr]).toEqual(['attempt 1\n', 'arqon: 1 done, 0 to be done again, 0 rejected.\n']);
    expect(await info('slow')).toMatchObject({ handled: 1, unacked: 0 });
  });

  it('lets what runs finish at Ctrl-C, which does not reach it, and gives the rest back', async () => {
    await publish('stop', { n: 1 }, { n: 2 }, { n: 3 });
    const script = `console.log('began ' + input.payload.n); const go = setInterval(() => { if (require('fs').existsSync('go')) { clearInterval(go); console.log('ended'); } }, 20)`;
    const making = ['--start', 'all', '--prefetch', '3'];
    const line = ['work', 'lab:stop', '--group', 'g', ...making, ...code(script)];
    const running = arqon.start(line);
    await running.line(/began 1/);
    running.child.kill('SIGINT');
    writeFileSync(join(arqon.folder, 'go'), '');
    const { code: exit, stdout, stderr } = await running.ended;
    expect([exit, stdout]).toEqual([0, 'began 1\nended\n']);
    expect(stderr).toContain('1 done');
    await expect.poll(() => info('stop'), { timeout: 10_000 }).toMatchObject({ handled: 1, unacked: 0, pending: 2 });
  });

  it('ends what runs at a second Ctrl-C', async () => {
    await publish('kill', { n: 1 });
    const script = `require('fs').writeFileSync('pid', String(process.pid)); console.log('began'); setInterval(() => {}, 1000)`;
    const running = arqon.start(['work', 'lab:kill', '--group', 'g', '--start', 'all', ...code(script)]);
    await running.line(/began/);
    const pid = Number(readFileSync(join(arqon.folder, 'pid'), 'utf8'));
    // Two signals that come at once would be one.
    await expect
      .poll(
        () => {
          running.child.kill('SIGINT');
          return running.child.exitCode;
        },
        { timeout: 10_000 },
      )
      .toBe(1);
    await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
  });

  it('goes on after a lost line: what ran meanwhile is done once more, and its first answer does not count', async () => {
    const line = await TcpProxy.start(Number(new URL(server.urls.bus).port));
    const script = `console.log('attempt ' + env.ARQON_ATTEMPT); const go = setInterval(() => { if (require('fs').existsSync('go')) { clearInterval(go); } }, 20)`;
    await publish('lines', { n: 1 });
    const work = ['work', 'lab:lines', '--group', 'g', '--start', 'all', '--limit', '2', ...code(script)];
    const running = arqon.start(work, { ARQONBUS_WS_URL: `ws://127.0.0.1:${line.port}` });
    await running.line(/attempt 1/);
    line.cut();
    // The bus has the event back, and has a member again.
    await expect.poll(() => info('lines'), { timeout: 15_000 }).toMatchObject({ members: 1, unacked: 1 });
    writeFileSync(join(arqon.folder, 'go'), '');
    const { code: exit, stdout, stderr } = await running.ended;
    expect([exit, stdout]).toEqual([0, 'attempt 1\nattempt 2\n']);
    expect(stderr).toMatch(/handed out again, since its answer did not count: .*\n/);
    expect(stderr).toContain('1 done');
    expect(await info('lines')).toMatchObject({ handled: 1, unacked: 0, pending: 0 });
    await line.stop();
  });

  it('takes nothing for a command that is not there', async () => {
    await publish('absent', { n: 1 });
    const { code: exit, stderr } = await arqon.run(['work', 'lab:absent', '--group', 'g', '--', './no-such-thing']);
    expect([exit, stderr]).toEqual([2, 'arqon: the command "./no-such-thing" was not found, or may not be run.\n']);
    expect((await arqon.run(['group', 'list', 'lab:absent'])).stdout).toBe('');
  });

  it('works at several events at a time, in the order of a key', async () => {
    const script = `setTimeout(() => console.log(input.payload.who + input.payload.n), input.payload.ms)`;
    const making = ['--start', 'all', '--key', 'payload.who', '--concurrency', '3'];
    await publish('keys', { who: 'a', n: 1, ms: 600 }, { who: 'a', n: 2, ms: 0 }, { who: 'b', n: 1, ms: 0 });
    const work = ['work', 'lab:keys', '--group', 'g', ...making, '--limit', '3', ...code(script)];
    const { stdout } = await arqon.run(work);
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines.indexOf('a1')).toBeLessThan(lines.indexOf('a2'));
  });
});

describe('arqon wait', () => {
  it('goes on from a cursor, and ends with 3 when nothing comes', async () => {
    await publish('waited', { n: 1 });
    const none = await arqon.run(['wait', 'lab:waited', '--timeout', '0.2']);
    expect([none.code, none.stdout]).toEqual([3, expect.stringMatching(/^cursor 1@\w+\n$/)]);
    const cursor = none.stdout.trim().slice('cursor '.length);
    const waiting = arqon.start(['wait', 'lab:waited', '--since', cursor, '--timeout', '20', '--json']);
    await publish('waited', { n: 2 });
    const { code: exit, stdout } = await waiting.ended;
    const { messages, cursors, recovered } = JSON.parse(stdout);
    expect([exit, messages[0].payload, cursors, recovered]).toEqual([0, { n: 2 }, [cursor.replace(/^1@/, '2@')], true]);
    const printed = await arqon.run(['wait', 'lab:waited', '--since', cursor]);
    expect(printed.stdout).toMatch(/lab:waited #2 .*\{"n":2\}\ncursor 2@\w+\n$/);
  });

  it('waits where nobody has been yet, and goes on from there without a loss', async () => {
    const none = await arqon.run(['wait', 'lab:unborn', '--timeout', '0.2']);
    expect([none.code, none.stdout, none.stderr]).toEqual([3, 'cursor 0@\n', '']);
    await publish('unborn', { n: 1 });
    const found = await arqon.json(['wait', 'lab:unborn', '--since', '0@', '--json']);
    expect(found).toMatchObject({ messages: [{ payload: { n: 1 } }], recovered: true });
    const room = await arqon.run(['wait', 'nowhere', '--timeout', '0.2']);
    expect([room.code, room.stdout]).toEqual([3, 'cursor nowhere:*=0@\n']);
    await peer.publish({ room: 'nowhere', channel: 'a', payload: { n: 2 } });
    const since = ['--since', 'nowhere:*=0@'];
    expect(await arqon.json(['wait', 'nowhere', ...since, '--json'])).toMatchObject({ messages: [{ channel: 'a' }] });
  });

  it('waits at several places, each with its cursor', async () => {
    await publish('one', { n: 1 });
    await publish('two', { n: 1 });
    const begun = await arqon
      .json(['wait', 'lab:one', 'lab:two', '--timeout', '0.2', '--json'])
      .catch((error) => error);
    expect(String(begun)).toContain('exited with 3');
    const { stdout } = await arqon.run(['wait', 'lab:one', 'lab:two', '--timeout', '0.2', '--json']);
    const since = JSON.parse(stdout).cursors.flatMap((cursor: string) => ['--since', cursor]);
    await publish('two', { n: 2 });
    const found = await arqon.json(['wait', 'lab:one', 'lab:two', ...since, '--json']);
    expect(found.messages.map(({ channel }: { channel: string }) => channel)).toEqual(['two']);
    expect(found.cursors[0]).toMatch(/^lab:one=1@/);
    expect(found.cursors[1]).toMatch(/^lab:two=2@/);
  });

  it('waits for all channels of a room', async () => {
    await peer.publish({ room: 'whole', channel: 'a', payload: { n: 1 } });
    const { stdout } = await arqon.run(['wait', 'whole', '--timeout', '0.2', '--json']);
    const since = JSON.parse(stdout).cursors.flatMap((cursor: string) => ['--since', cursor]);
    expect(since).toContainEqual(expect.stringMatching(/^whole:a=1@/));
    await peer.publish({ room: 'whole', channel: 'b', payload: { n: 2 } });
    expect((await arqon.json(['wait', 'whole', ...since, '--json'])).messages).toMatchObject([{ channel: 'b' }]);
  });

  it.each([
    [['lab:x', '--since', '42'], 'Write a cursor as it was printed'],
    [['lab', '--since', '4@e'], 'write a cursor as ROOM:CHANNEL=SEQ@EPOCH'],
  ])('says what is wrong with %j', async (args, sentence) => {
    const { code: exit, stderr } = await arqon.run(['wait', ...args]);
    expect([exit, stderr]).toEqual([2, expect.stringContaining(sentence)]);
  });
});

describe('arqon presence', () => {
  it('prints who is there, without oneself, and follows who comes, changes and goes', async () => {
    const ada = await Peer.connect(server.urls.bus);
    await ada.ask('join_channel', { room: 'lab', channel: 'people', presence: { state: { mood: 'busy' } } });
    const { members, count } = await arqon.json(['presence', 'lab:people', '--json']);
    expect([count, members.map(({ state }: { state: unknown }) => state)]).toEqual([1, [{ mood: 'busy' }]]);
    const following = arqon.start(['presence', 'lab:people', '--follow']);
    await following.line(/"mood":"busy"/);
    const grace = arqon.start(['presence', 'lab:people', '--state', '{"mood":"calm"}']);
    await following.line(/^joined .*\{"mood":"calm"\}$/);
    await ada.ask('presence_update', { room: 'lab', channel: 'people', state: { mood: 'idle' } });
    await following.line(/^updated .*\{"mood":"idle"\}$/);
    grace.child.kill('SIGINT');
    expect((await grace.ended).code).toBe(0);
    await following.line(/^left .* left$/);
    following.child.kill('SIGINT');
    expect((await following.ended).code).toBe(0);
    await ada.close();
    expect((await arqon.run(['presence', 'lab:people', '--state', 'busy'])).code).toBe(2);
  });
});

describe('arqon lease', () => {
  it('runs a command under a lease, and ends as the command does', async () => {
    const script = `console.log(env.ARQON_LEASE_KEYS, env.ARQON_LEASE_TOKEN > 0); process.exit(7)`;
    const command = ['--', process.execPath, '-e', `const { env } = process; ${script}`];
    const { code: exit, stdout } = await arqon.run(['lease', 'acquire', 'b,a', ...command]);
    expect([exit, stdout]).toEqual([7, 'a,b true\n']);
    expect((await arqon.json(['lease', 'list', '--json'])).leases).toEqual([]);
  });

  it('lets one after the other have a key', async () => {
    const holder = arqon.start(['lease', 'acquire', 'door', '--json']);
    await holder.line(/"lease_id"/);
    const refused = await arqon.run(['lease', 'acquire', 'door', '--', 'true']);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('(CONFLICT)')]);
    const waiting = arqon.start(['lease', 'acquire', 'door', '--wait-seconds', '30', '--', 'echo', 'mine']);
    holder.child.kill('SIGINT');
    expect((await holder.ended).code).toBe(0);
    expect(await waiting.ended).toMatchObject({ code: 0, stdout: 'mine\n' });
  });

  it('leaves keys taken when told to, until they are released', async () => {
    const kept = await arqon.json(['lease', 'acquire', 'kept', '--keep', '--json']);
    expect((await arqon.run(['lease', 'list'])).stdout).toContain(`${kept.lease_id}\tlease\tkept`);
    expect((await arqon.run(['lease', 'release', kept.lease_id])).stdout).toBe(`${kept.lease_id} released\n`);
    expect((await arqon.run(['lease', 'release', kept.lease_id])).stderr).toContain('(LEASE_LOST)');
  });

  it('ends the command when the lease is lost', async () => {
    const command = [
      '--',
      process.execPath,
      '-e',
      `console.log(process.env.ARQON_LEASE_ID); setInterval(() => {}, 1000)`,
    ];
    const running = arqon.start(['lease', 'acquire', 'stolen', '--ttl-seconds', '3', ...command]);
    const lease_id = await running.line(/./);
    await peer.ask('op.lease.release', { lease_id });
    const { code: exit, stderr } = await running.ended;
    expect([exit, stderr]).toEqual([1, expect.stringContaining('the lease was lost while the command ran')]);
  });
});

describe('arqon mail', () => {
  const as = (name: string): Record<string, string> => ({ ARQONBUS_WS_URL: `${server.urls.bus}/?subject=${name}` });

  it('waits for its reader, is listed without being handled, and is read once', async () => {
    const send = ['mail', 'send', '@ada'];
    expect((await arqon.run([...send, '{"n":1}'], { env: as('bob') })).stdout).toMatch(/^arq_\w+: 1 wait for @ada\n$/);
    await arqon.run([...send, '{"n":2}'], { env: as('bob') });
    for (const args of [['mail'], ['mail', 'list']]) {
      const listed = await arqon.run(args, { env: as('ada') });
      expect(listed.stdout).toMatch(/^\S+\tbob\t.*\t\{"n":1\}\n\S+\tbob\t.*\t\{"n":2\}\n$/);
    }
    const first = await arqon.run(['mail', 'read', '--limit', '1', '--json'], { env: as('ada') });
    expect(JSON.parse(first.stdout)).toMatchObject({ payload: { n: 1 }, metadata: { sender: { subject: 'bob' } } });
    const rest = await arqon.run(['mail', 'read'], { env: as('ada') });
    expect([rest.code, rest.stdout]).toEqual([0, expect.stringMatching(/^[^\n]*\{"n":2\}\n$/)]);
    expect(await arqon.run(['mail', 'read'], { env: as('ada') })).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await arqon.run(['mail'], { env: as('ada') })).stdout).toBe('');
  });

  it('tells its sender that it was handled', async () => {
    const sender = arqon.start(['mail', 'send', '@eve', '{"n":1}', '--receipt'], as('bob'));
    await sender.complaint(/waiting for the receipt/);
    const reader = arqon.start(['mail', 'read', '--follow'], as('eve'));
    await reader.line(/"n":1/);
    expect(await sender.ended).toMatchObject({ code: 0, stdout: 'handled by eve, attempt 1\n' });
    reader.child.kill('SIGINT');
    expect((await reader.ended).code).toBe(0);
    const late = ['mail', 'send', '@eve', '{}', '--receipt', '--ttl-seconds', '0.2'];
    const expired = arqon.start(late, as('bob'));
    await expired.complaint(/waiting for the receipt/);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await arqon.run(['mail', 'read'], { env: as('eve') });
    expect(await expired.ended).toMatchObject({ code: 1, stdout: expect.stringContaining('expired') });
  });

  it.each([
    [['mail', 'read'], 'whose mailbox? Pass --subject'],
    [['mail', 'send', 'ada', '{}'], 'write the mailbox as @NAME'],
  ])('says what is missing in %j', async (args, sentence) => {
    const { code: exit, stderr } = await arqon.run(args);
    expect([exit, stderr]).toEqual([2, expect.stringContaining(sentence)]);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
