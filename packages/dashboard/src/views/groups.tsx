import type { Envelope, GroupInfo } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Badge, Button, Empty, Note, SureButton } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { act } from '../components/toasts.tsx';
import { preview } from '../format/preview.ts';
import { ago, count, plural, span } from '../format/quantity.ts';
import { visible, visibleLine } from '../format/visible.ts';
import type { At } from '../model/at.ts';
import { command } from '../session/session.ts';

/** Maximum groups of a channel to query, to limit the load from this page. */
const MOST = 20;

async function groupsOf({ room, channel }: At): Promise<GroupInfo[]> {
  const { groups } = await command('group.list', { room, channel, limit: MOST });
  return Promise.all(
    groups.map((one) => command('group.info', { room: one.room, channel: one.channel, group: one.group })),
  );
}

/** The consumer groups of a channel, their progress and dead letters. */
export function GroupsPanel(at: At): VNode {
  const groups = useLive(() => groupsOf(at), 3_000, `${at.room}:${at.channel}`);
  const [chosen, choose] = useState<string>();
  const open = groups.value?.find(({ group }) => group === chosen);
  const columns: Column<GroupInfo>[] = [
    {
      name: 'Group',
      cell: ({ group, paused, handled, max_attempts: most }) => (
        <>
          {group} {paused && <Badge tone="warn">paused</Badge>}
          <div class="quiet-number">
            {count(handled)} handled, {plural(most, 'attempt')} at most
          </div>
        </>
      ),
    },
    { name: 'Members', cell: ({ members }) => count(members), right: true },
    { name: 'Pending', cell: ({ pending }) => count(pending), right: true },
    { name: 'With members', cell: ({ unacked }) => count(unacked), right: true },
    { name: 'Oldest', cell: ({ oldest_ms: oldest }) => (oldest === null ? '–' : span(oldest / 1000)), right: true },
    {
      name: 'Dead letters',
      cell: ({ group, dead_letters: dead }) =>
        dead === 0 ? (
          '0'
        ) : (
          <Button small tone="danger" onClick={() => choose(group === chosen ? undefined : group)}>
            {count(dead)}
          </Button>
        ),
      right: true,
    },
    { name: '', cell: (one) => <Pause of={one} reload={groups.reload} />, tight: true },
  ];
  return (
    <>
      {groups.problem !== '' && <Note tone="bad">{groups.problem}</Note>}
      <Table
        label="Groups"
        rows={groups.value ?? []}
        keyOf={({ group }) => group}
        columns={columns}
        chosen={chosen}
        empty={
          <Empty title={groups.value === undefined ? 'Asking for the groups…' : 'No group works on this channel.'}>
            A group hands each message to one of its members:{' '}
            <code>client.subscribe(at, {'{ group: "workers" }'})</code>
          </Empty>
        }
      />
      {open !== undefined && <DeadLetters of={open} reload={groups.reload} />}
    </>
  );
}

interface GroupProps {
  readonly of: GroupInfo;
  readonly reload: () => void;
}

function Pause({ of: { room, channel, group, paused }, reload }: GroupProps): VNode {
  const name = paused ? 'group.resume' : 'group.pause';
  const press = (): void => {
    void act(() => command(name, { room, channel, group }), `${group} ${paused ? 'goes on' : 'is paused'}.`).then(
      reload,
    );
  };
  return (
    <Button small onClick={press}>
      {paused ? 'Resume' : 'Pause'}
    </Button>
  );
}

function DeadLetters({ of: { room, channel, group }, reload }: GroupProps): VNode {
  const letters = useLive(() => command('group.dead_letters', { room, channel, group, limit: 100 }), 5_000, group);
  const retry = (ids?: string[]): void => {
    void act(
      () => command('group.retry', { room, channel, group, ...(ids === undefined ? {} : { ids }) }),
      ({ retried }) => `${count(retried)} handed out again.`,
    ).then(() => {
      letters.reload();
      reload();
    });
  };
  const columns: Column<Envelope>[] = [
    { name: 'Sent', cell: ({ timestamp }) => ago(timestamp ?? ''), tight: true },
    { name: 'Why', cell: ({ metadata }) => visibleLine(preview(metadata?.dead ?? {}, 200), 201), wide: true },
    { name: 'Payload', cell: ({ payload }) => <code>{visibleLine(preview(payload, 160), 161)}</code>, wide: true },
    {
      name: '',
      cell: ({ id }) => (
        <Button small onClick={() => retry([id])}>
          Retry
        </Button>
      ),
      tight: true,
    },
  ];
  return (
    <div class="panel-body stack">
      <div class="row">
        <h3>Dead letters of {visible(group)}</h3>
        <SureButton small onClick={() => retry()}>
          Retry all
        </SureButton>
      </div>
      {letters.problem !== '' && <Note tone="bad">{letters.problem}</Note>}
      <Table
        label={`Dead letters of ${group}`}
        rows={letters.value?.messages ?? []}
        keyOf={({ id }) => id}
        columns={columns}
        empty={<Empty title="There are none any more." />}
      />
    </div>
  );
}
