import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { NodeMessage, Presence } from './engine/engine.ts';
import { Handover, Seen } from './handover.ts';

const LETTER = { tenant: 't', clients: ['arq_client_b', 'arq_client_gone'], text: '{"n":1}', key: 't/pm ada arq_1' };

/** What was sent to each node, and nobody has taken yet. */
let sent: { node: string; message: NodeMessage }[];
let isAway: boolean;

function presence(): Presence {
  return {
    send: async (node: string, message: NodeMessage) => {
      if (isAway) throw new Error('away');
      sent.push({ node, message: JSON.parse(JSON.stringify(message)) as NodeMessage });
    },
  } as unknown as Presence;
}

let here: Handover;
let there: Handover;
let handed: string[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  sent = [];
  handed = [];
  isAway = false;
  here = new Handover(presence(), 'here', new Seen());
  there = new Handover(presence(), 'there', new Seen());
});
afterEach(() => void vi.useRealTimers());

/** The other node, on which one of the clients is, takes what was sent to it. */
function takeThere(message: NodeMessage): void {
  there.receive(message, (isNew) => {
    if (isNew('arq_client_b')) handed.push(message.text);
    return ['arq_client_b'];
  });
}

function next(): { node: string; message: NodeMessage } {
  const [first] = sent.splice(0, 1);
  if (first === undefined) throw new Error('Nothing was sent.');
  return first;
}

it('counts the clients that the other node confirms', async () => {
  const reached = here.send('there', LETTER);
  const asked = next();
  expect(asked).toMatchObject({ node: 'there', message: { kind: 'private', clients: LETTER.clients } });
  takeThere(asked.message);
  const answer = next();
  expect(answer).toMatchObject({ node: 'here', message: { kind: 'confirm', clients: ['arq_client_b'] } });
  here.confirmed(answer.message);
  expect(await reached).toEqual(['arq_client_b']);
  expect(vi.getTimerCount()).toBe(0);
});

it('counts nobody of a node that is silent for 2 s, and hears nothing of it later', async () => {
  const reached = here.send('there', LETTER);
  const { message } = next();
  let isSettled = false;
  void reached.then(() => {
    isSettled = true;
  });
  await vi.advanceTimersByTimeAsync(1_999);
  expect(isSettled).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(await reached).toEqual([]);
  takeThere(message);
  here.confirmed(next().message);
});

it('counts nobody while the storage is away', async () => {
  isAway = true;
  expect(await here.send('there', LETTER)).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});

it('takes a confirmation only of the node that was asked', async () => {
  const reached = here.send('there', LETTER);
  const { number } = next().message.reply ?? { number: 0 };
  const forged = { kind: 'confirm', tenant: 't', text: '' } as const;
  here.confirmed({ ...forged, clients: ['x'], reply: { node: 'elsewhere', number } });
  here.confirmed({ ...forged, clients: ['x'], reply: { node: 'there', number: number + 1 } });
  here.confirmed({ ...forged, clients: ['x'] });
  here.confirmed({ ...forged, clients: ['arq_client_b'], reply: { node: 'there', number } });
  expect(await reached).toEqual(['arq_client_b']);
});

it('hands what comes again to no client twice, and confirms it again', async () => {
  for (const _ of [1, 2]) {
    const reached = here.send('there', LETTER);
    takeThere(next().message);
    here.confirmed(next().message);
    expect(await reached).toEqual(['arq_client_b']);
  }
  expect(handed).toEqual([LETTER.text]);
  void here.send('there', { ...LETTER, key: 't/pm ada arq_2' });
  takeThere(next().message);
  expect(handed).toHaveLength(2);
});

it('confirms what is waited for once it has left for its client, and counts nobody for whom it has not', async () => {
  for (const clients of [['arq_client_b'], []]) {
    const reached = here.send('there', { ...LETTER, isWaitedFor: true });
    const { message } = next();
    expect(message.isWaitedFor).toBe(true);
    let leave: (reached: string[]) => void = () => {};
    const left = new Promise<string[]>((resolve) => {
      leave = resolve;
    });
    there.receive(message, () => left);
    expect(sent).toEqual([]);
    leave(clients);
    await vi.advanceTimersByTimeAsync(0);
    here.confirmed(next().message);
    expect(await reached).toEqual(clients);
  }
});
