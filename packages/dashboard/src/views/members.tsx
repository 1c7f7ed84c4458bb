import type { CommandResult, MemberRecord } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Badge, Empty } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { preview } from '../format/preview.ts';
import { ago, count } from '../format/quantity.ts';
import { visible, visibleLine } from '../format/visible.ts';
import { link } from '../session/route.ts';
import { client, isAtLeast, welcome } from '../session/session.ts';

/** The presence states of members, by client id. */
type States = ReadonlyMap<string, unknown>;

/** The members of a channel, with their states. */
export function Members({ info }: { readonly info: CommandResult<'channel_info'> }): VNode {
  const states = useStates(info);
  const columns: Column<MemberRecord>[] = [
    { name: 'Name', cell: (one) => <Named member={one} /> },
    { name: 'Subject', cell: ({ sender }) => (sender.subject === undefined ? '–' : visible(sender.subject)) },
    { name: 'Kind', cell: ({ client_type }) => client_type, tight: true },
    {
      name: 'State',
      cell: ({ client_id }) => {
        const state = states.get(client_id);
        return state === undefined || state === null ? '–' : <code>{visibleLine(preview(state, 120), 121)}</code>;
      },
    },
    { name: 'Here since', cell: ({ joined_at }) => ago(joined_at), tight: true },
  ];
  return (
    <>
      <Table
        label="Members"
        rows={info.members}
        keyOf={({ client_id }) => client_id}
        columns={columns}
        empty={<Empty title="Nobody is here." />}
      />
      {info.count > info.members.length && (
        <Empty title={`These are ${count(info.members.length)} of ${count(info.count)}.`} />
      )}
    </>
  );
}

function Named({ member: { client_id, screen_name } }: { readonly member: MemberRecord }): VNode {
  const name = screen_name === null ? client_id : visible(screen_name);
  return (
    <>
      {isAtLeast('user') ? <a href={link('clients', client_id)}>{name}</a> : name}{' '}
      {client_id === welcome.value?.client_id && <Badge tone="accent">this page</Badge>}
    </>
  );
}

/** Watches the states; empty if presence is disabled. */
function useStates({ room, channel }: CommandResult<'channel_info'>): States {
  const [states, setStates] = useState<States>(new Map());
  const { value: now } = client;
  useEffect(() => {
    if (now === null) return;
    let isOver = false;
    let close: (() => Promise<unknown>) | undefined;
    now.presence({ room, channel }).then(
      (people) => {
        close = () => people.close();
        if (isOver) void close();
        const read = (): void => setStates(new Map(people.members.map(({ clientId, state }) => [clientId, state])));
        people.on('change', read);
        read();
      },
      () => {},
    );
    return () => {
      isOver = true;
      void close?.().catch(() => {});
    };
  }, [now, room, channel]);
  return states;
}
