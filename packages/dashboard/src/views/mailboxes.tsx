import { ArqonBusError } from '@arqonbus/client';
import type { GroupInfo } from '@arqonbus/protocol';
import { INBOX, MAIL_ROOM } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useLive } from '../components/live.ts';
import { Badge, Empty, Note, Panel } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { bytes, count, span } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import { ask } from '../session/http.ts';
import { command } from '../session/session.ts';

/** Maximum listed mailboxes, and maximum mailboxes with mail whose readers are queried. */
const MOST = 100;
const MOST_ASKED = 20;

interface Mailbox {
  readonly subject: string;
  readonly channel: string;
  readonly pending: number;
  readonly bytes: number;
  readonly oldest_ms: number;
  /** The consumer group of its readers; undefined if it was not queried, null if it has never been read. */
  readonly inbox: GroupInfo | null | undefined;
}

interface Listed {
  readonly mailboxes: readonly Omit<Mailbox, 'inbox'>[];
  readonly next: string | null;
}

async function readMailboxes(): Promise<{ mailboxes: readonly Mailbox[]; isAll: boolean }> {
  const { mailboxes, next } = await ask<Listed>(`v1/mailboxes?limit=${MOST}`);
  // Longest waiting first.
  const sorted = [...mailboxes].sort((one, other) => other.oldest_ms - one.oldest_ms);
  // Inboxes without mail are idle, and are not activated for this.
  const waiting = sorted.filter(({ pending }) => pending > 0).slice(0, MOST_ASKED);
  const inboxes = await Promise.all(waiting.map(({ channel }) => readInbox(channel)));
  const known = new Map(waiting.map(({ channel }, index) => [channel, inboxes[index]]));
  return {
    mailboxes: sorted.map((one) => ({ ...one, inbox: known.get(one.channel) })),
    isAll: next === null,
  };
}

/** The consumer group of a mailbox's readers; null if it has never been read. */
async function readInbox(channel: string): Promise<GroupInfo | null> {
  try {
    return await command('group.info', { room: MAIL_ROOM, channel, group: INBOX });
  } catch (error) {
    if (error instanceof ArqonBusError && error.code === 'NOT_FOUND') return null;
    throw error;
  }
}

const COLUMNS: readonly Column<Mailbox>[] = [
  { name: 'Mailbox', cell: ({ subject }) => `@${visible(subject)}` },
  { name: 'Waits', cell: ({ pending }) => count(pending), right: true },
  { name: 'Size', cell: ({ bytes: size }) => bytes(size), right: true },
  {
    name: 'Oldest',
    cell: ({ pending, oldest_ms: age }) => (pending === 0 ? '–' : span(age / 1000)),
    right: true,
  },
  { name: 'In hand', cell: ({ inbox }) => (inbox ? count(inbox.unacked) : '–'), right: true },
  { name: 'Read by', cell: ({ inbox, pending }) => <Readers inbox={inbox} pending={pending} />, tight: true },
  { name: 'Dead letters', cell: ({ inbox }) => (inbox ? count(inbox.dead_letters) : '–'), right: true },
];

function Readers({ inbox, pending }: Pick<Mailbox, 'inbox' | 'pending'>): VNode {
  if (inbox === undefined) return <>–</>;
  if (inbox !== null && inbox.members > 0) return <>{count(inbox.members)}</>;
  return <Badge tone={pending > 0 ? 'warn' : ''}>{inbox === null ? 'nobody yet' : 'nobody'}</Badge>;
}

/** The mailboxes with waiting mail. */
export function MailboxesPanel(): VNode {
  const listed = useLive(readMailboxes, 4_000);
  return (
    <Panel title="Mailboxes" flush>
      {listed.problem !== '' && <Note tone="bad">{listed.problem}</Note>}
      <Table
        label="Mailboxes"
        rows={listed.value?.mailboxes ?? []}
        keyOf={({ channel }) => channel}
        columns={COLUMNS}
        empty={
          <Empty title={listed.value === undefined ? 'Looking into the mailboxes…' : 'No mail waits for anybody.'}>
            <code>npx arqon mail send @ada '{'{"text":"hello"}'}'</code> puts a message into one.
          </Empty>
        }
      />
      {listed.value?.isAll === false && <Empty title={`These are the first ${MOST}, by name.`} />}
    </Panel>
  );
}
