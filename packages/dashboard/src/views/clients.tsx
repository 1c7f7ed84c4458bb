import type { ClientRecord } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Badge, Button, Choice, Empty, Facts, Field, Note, Panel, SureButton } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { act } from '../components/toasts.tsx';
import { ago, count } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import { ask } from '../session/http.ts';
import { go, link, place } from '../session/route.ts';
import { disconnect, isAtLeast, may, welcome } from '../session/session.ts';
import { block } from './blocking.ts';
import { useLine } from './line.ts';

/** Maximum pages to read: 10,000 clients; beyond that, search by subject on the server. */
const MAX_PAGES = 20;
/** Maximum displayed rows. */
const MAX_ROWS = 200;

interface Page {
  readonly clients: readonly ClientRecord[];
  readonly next: string | null;
}

/** All clients, or those of one subject. */
async function readClients(subject: string): Promise<readonly ClientRecord[]> {
  const found: ClientRecord[] = [];
  let after = '';
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const query = new URLSearchParams({ limit: '500', ...(after && { after }), ...(subject && { subject }) });
    const { clients, next }: Page = await ask(`v1/clients?${query}`);
    found.push(...clients);
    if (next === null) break;
    after = next;
  }
  return found;
}

export function ClientsView(): VNode {
  const [, id] = place.value;
  const [search, setSearch] = useState('');
  const [subject, setSubject] = useState('');
  const [kind, setKind] = useState('');
  const clients = useLive(() => readClients(subject.trim()), 3_000, subject.trim());
  const all = clients.value ?? [];
  const kinds = [...new Set(all.map(({ client_type }) => client_type))].sort();
  const wanted = search.trim().toLowerCase();
  const found = all.filter(
    (one) =>
      (kind === '' || one.client_type === kind) &&
      (wanted === '' ||
        [one.screen_name, one.client_id, one.sender.subject, one.state, one.node, ...Object.keys(one.rooms)].some(
          (text) => text?.toLowerCase().includes(wanted),
        )),
  );
  const chosen = all.find(({ client_id }) => client_id === id);
  return (
    <div class="view">
      <div class="view-head">
        <h1>Clients</h1>
        <Badge>{count(all.length)} connected</Badge>
      </div>
      {clients.problem !== '' && <Note tone="bad">{clients.problem}</Note>}
      {id !== undefined &&
        (chosen === undefined ? (
          clients.value !== undefined && (
            <Note tone="warn">
              <div class="row">
                <span style={{ flex: '1' }}>The client {visible(id)} is not connected any more.</span>
                <Button small onClick={() => go('clients')}>
                  All clients
                </Button>
              </div>
            </Note>
          )
        ) : (
          <ClientPanel of={chosen} reload={clients.reload} />
        ))}
      <Panel title="Connected" flush>
        <div class="filters">
          <Field
            label="Find"
            placeholder="name, id, subject, state, node, room"
            value={search}
            onInput={setSearch}
            search
            grow
          />
          <Field label="Subject, exactly" placeholder="asked of the server" value={subject} onInput={setSubject} grow />
          <Choice
            label="Kind"
            value={kind}
            onChange={setKind}
            options={[['', 'any kind'], ...kinds.map((one): [string, string] => [one, one])]}
          />
        </div>
        <Table
          label="Clients"
          rows={found.slice(0, MAX_ROWS)}
          keyOf={({ client_id }) => client_id}
          columns={COLUMNS}
          chosen={id}
          empty={
            <Empty title={clients.value === undefined ? 'Asking who is connected…' : 'Nobody like this is connected.'}>
              <code>npx arqon tail science:explore</code> connects one.
            </Empty>
          }
        />
        {found.length > MAX_ROWS && (
          <Empty title={`These are ${MAX_ROWS} of ${count(found.length)}.`}>Search to see others.</Empty>
        )}
      </Panel>
    </div>
  );
}

const COLUMNS: readonly Column<ClientRecord>[] = [
  {
    name: 'Name',
    cell: ({ client_id, screen_name }) => (
      <>
        <a href={link('clients', client_id)} data-item="">
          {screen_name === null ? client_id : visible(screen_name)}
        </a>{' '}
        {client_id === welcome.value?.client_id && <Badge tone="accent">this page</Badge>}
      </>
    ),
  },
  { name: 'Subject', cell: ({ sender }) => (sender.subject === undefined ? '–' : visible(sender.subject)) },
  { name: 'Kind', cell: ({ client_type }) => client_type, tight: true },
  { name: 'Channels', cell: ({ rooms }) => count(Object.values(rooms).flat().length), right: true },
  { name: 'Last heard', cell: ({ last_activity }) => ago(last_activity), tight: true },
  { name: 'Node', cell: ({ node }) => node, tight: true },
];

function ClientPanel({ of: one, reload }: { readonly of: ClientRecord; readonly reload: () => void }): VNode {
  const { client_id: id, sender, screen_name: name } = one;
  const { subject } = sender;
  const isAdmin = isAtLeast('admin');
  const { facts, problem } = useLine(id);
  return (
    <Panel
      title={name === null ? id : visible(name)}
      actions={
        <span class="row">
          {isAdmin && (
            <SureButton small onClick={() => void act(() => disconnect(id), 'The connection was closed.').then(reload)}>
              Disconnect
            </SureButton>
          )}
          {subject !== undefined && may('op.access.block') && (
            <Button small tone="danger" onClick={() => void block(subject).then(reload)}>
              Block {visible(subject)}
            </Button>
          )}
          <Button small tone="plain" label="Close the client" onClick={() => go('clients')}>
            ✕
          </Button>
        </span>
      }
    >
      <div class="stack">
        <Facts
          of={[
            ['Client id', <code key="id">{id}</code>],
            ['Subject', subject === undefined ? 'none; it cannot be blocked, only disconnected' : visible(subject)],
            ['Kind', `${one.client_type}, ${sender.role}`],
            ['Node', one.node],
            ['Connected', ago(one.connected_at)],
            ['Last heard', ago(one.last_activity)],
            ...said('State', one.state),
            ...said('Busy with', one.note),
            ...said('Says of itself', one.personality),
          ]}
        />
        {problem !== '' && <Note tone="bad">{problem}</Note>}
        {facts.length > 0 && <Facts of={facts} />}
        <div class="row">
          <span class="muted">Memberships</span>
          {Object.entries(one.rooms).flatMap(([room, channels]) =>
            channels.map((channel) => (
              <a key={`${room}:${channel}`} class="button small" href={link('rooms', room, channel)}>
                {room}:{channel}
              </a>
            )),
          )}
          {Object.keys(one.rooms).length === 0 && <span>none that you may see</span>}
        </div>
      </div>
    </Panel>
  );
}

/** A client's own description as a fact; empty if it has none. */
function said(name: string, text: string | null | undefined): [name: string, text: string][] {
  return text === undefined || text === null ? [] : [[name, visible(text)]];
}
