import type { ChannelSummary } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Button, Empty, Field, Note, Panel } from '../components/parts.tsx';
import { ChannelRates } from '../model/channel-tree.ts';
import { ask } from '../session/http.ts';
import { go, link, place } from '../session/route.ts';
import { ChannelView } from './channel.tsx';
import { ChannelTree } from './channel-tree.tsx';

/** Maximum listed channels; others are found by the server-side search. */
const MOST = 500;

interface Listed {
  readonly channels: readonly ChannelSummary[];
  readonly next: string | null;
  /** Events per second, by `room:channel`. */
  readonly rates: ReadonlyMap<string, number>;
}

/** All rooms with their channels, and the selected channel. */
export function RoomsView(): VNode {
  const [, room, channel] = place.value;
  const [search, setSearch] = useState('');
  const wanted = search.trim();
  const rates = useMemo(() => new ChannelRates(), []);
  const listed = useLive<Listed>(
    async () => {
      const match = wanted === '' ? '' : `&match=${encodeURIComponent(globOf(wanted))}`;
      const answer = await ask<Omit<Listed, 'rates'>>(`v1/channels?limit=${MOST}${match}`);
      return { ...answer, rates: rates.take(answer.channels, performance.now()) };
    },
    3_000,
    wanted,
  );
  const isOpen = room !== undefined && channel !== undefined;
  return (
    <div class="view">
      <div class="view-head">
        <h1>{isOpen ? `${room}:${channel}` : 'Rooms'}</h1>
        {isOpen && (
          <Button small onClick={() => go('rooms')}>
            All rooms
          </Button>
        )}
      </div>
      <div class="split" data-open={isOpen}>
        <Panel title="Rooms and channels" flush>
          <div class="filters">
            <Field
              label="Find"
              placeholder="room, channel, room:channel"
              value={search}
              onInput={setSearch}
              search
              grow
            />
          </div>
          {listed.problem !== '' && <Note tone="bad">{listed.problem}</Note>}
          <Found listed={listed.value} search={wanted} room={room} channel={channel} />
        </Panel>
        {isOpen ? (
          <ChannelView key={`${room}:${channel}`} room={room} channel={channel} />
        ) : (
          <Panel title="No channel is open">
            <Empty title="Choose a channel to see what goes through it.">
              A channel is made by the first message to it: <code>npx arqon pub orders:new '{'{"id":1}'}'</code>
            </Empty>
          </Panel>
        )}
      </div>
    </div>
  );
}

/** Converts search input to a glob for the server. */
function globOf(text: string): string {
  const plain = text.replaceAll(/[^A-Za-z0-9._:/*-]/g, '');
  return plain.includes('*') ? plain : plain.includes(':') ? `${plain}*` : `*${plain}*`;
}

interface FoundProps {
  readonly listed: Listed | undefined;
  readonly search: string;
  readonly room: string | undefined;
  readonly channel: string | undefined;
}

function Found({ listed, search, room, channel }: FoundProps): VNode {
  if (listed === undefined) return <Empty title="Reading the rooms…" />;
  if (listed.channels.length === 0) return <NothingFound search={search} />;
  return (
    <>
      <ChannelTree channels={listed.channels} rates={listed.rates} room={room} channel={channel} />
      {listed.next !== null && <Empty title={`These are the first ${MOST}.`}>Search to see others.</Empty>}
    </>
  );
}

function NothingFound({ search }: { readonly search: string }): VNode {
  if (search === '') return <Empty title="There is no channel that you may read." />;
  const [room, channel] = search.split(':');
  return (
    <Empty title="No channel has such a name.">
      {room !== undefined && channel !== undefined && channel !== '' ? (
        <a href={link('rooms', room, channel)}>Open {search}: its first message makes it</a>
      ) : (
        'Write room:channel to open a new one.'
      )}
    </Empty>
  );
}
