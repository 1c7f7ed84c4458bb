import type { ClientRecord } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Empty, Field, Note, Panel } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { ago } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import { ask } from '../session/http.ts';
import { link } from '../session/route.ts';

const COLUMNS: readonly Column<ClientRecord>[] = [
  {
    name: 'Agent',
    cell: ({ client_id: id, screen_name: name }) => (
      <a href={link('clients', id)} data-item="">
        {name === null ? id : visible(name)}
      </a>
    ),
  },
  { name: 'Subject', cell: ({ sender }) => (sender.subject === undefined ? '–' : visible(sender.subject)) },
  { name: 'Says of itself', cell: ({ personality }) => (personality === null ? '–' : visible(personality)) },
  {
    name: 'Works in',
    cell: ({ rooms }) => (
      <span class="row">
        {Object.entries(rooms).flatMap(([room, channels]) =>
          channels.map((channel) => (
            <a key={`${room}:${channel}`} href={link('rooms', room, channel)}>
              {room}:{channel}
            </a>
          )),
        )}
      </span>
    ),
  },
  { name: 'Last heard', cell: ({ last_activity: at }) => ago(at), tight: true },
];

/** The agents that are connected, with what they say of themselves. */
export function AgentsView(): VNode {
  const [search, setSearch] = useState('');
  const clients = useLive(() => ask<{ clients: ClientRecord[] }>('v1/clients?limit=500'), 3_000);
  const wanted = search.trim().toLowerCase();
  const agents = (clients.value?.clients ?? [])
    .filter(({ client_type: kind }) => kind === 'ai-agent')
    .filter((one) =>
      [one.screen_name, one.client_id, one.sender.subject, one.personality].some((text) =>
        text?.toLowerCase().includes(wanted),
      ),
    );
  return (
    <div class="view">
      <div class="view-head">
        <h1>Agents</h1>
      </div>
      {clients.problem !== '' && <Note tone="bad">{clients.problem}</Note>}
      <Panel title="Who is here" flush>
        <div class="filters">
          <Field label="Find" placeholder="name, subject" value={search} onInput={setSearch} search grow />
        </div>
        <Table
          label="Agents"
          rows={agents}
          keyOf={({ client_id: id }) => id}
          columns={COLUMNS}
          empty={
            <Empty title={clients.value === undefined ? 'Asking who is here…' : 'No agent is connected.'}>
              An agent connects with <code>clientType: 'ai-agent'</code>.
            </Empty>
          }
        />
      </Panel>
    </div>
  );
}
