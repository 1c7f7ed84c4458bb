import type { ChannelSummary } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Button, Empty, Field, Note, Panel } from '../components/parts.tsx';
import { count } from '../format/quantity.ts';
import { ask } from '../session/http.ts';
import { go, link, place } from '../session/route.ts';
import { ChannelView } from './channel.tsx';

/** Channels that are listed; more are found by the search, which the server does. */
const MOST = 500;

interface Listed {
  readonly channels: readonly ChannelSummary[];
  readonly next: string | null;
}

/** All rooms with their channels, and the channel that was chosen. */
export function RoomsView(): VNode {
  const [, room, channel] = place.value;
  const [search, setSearch] = useState('');
  const wanted = search.trim();
  const listed = useLive<Listed>(
    () => ask(`v1/channels?limit=${MOST}${wanted === '' ? '' : `&match=${encodeURIComponent(globOf(wanted))}`}`),
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
          <Tree listed={listed.value} search={wanted} room={room} channel={channel} />
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

/** A glob of the server for what somebody typed. */
function globOf(text: string): string {
  const plain = text.replaceAll(/[^A-Za-z0-9._:/*-]/g, '');
  return plain.includes('*') ? plain : plain.includes(':') ? `${plain}*` : `*${plain}*`;
}

interface TreeProps {
  readonly listed: Listed | undefined;
  readonly search: string;
  readonly room: string | undefined;
  readonly channel: string | undefined;
}

function Tree({ listed, search, room: chosenRoom, channel: chosenChannel }: TreeProps): VNode {
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  if (listed === undefined) return <Empty title="Reading the rooms…" />;
  if (listed.channels.length === 0) {
    const [room, channel] = search.split(':');
    return search === '' ? (
      <Empty title="There is no channel that you may read." />
    ) : (
      <Empty title="No channel has such a name.">
        {room !== undefined && channel !== undefined && channel !== '' ? (
          <a href={link('rooms', room, channel)}>Open {search}: its first message makes it</a>
        ) : (
          'Write room:channel to open a new one.'
        )}
      </Empty>
    );
  }
  const rooms = new Map<string, ChannelSummary[]>();
  for (const one of listed.channels) rooms.set(one.room, [...(rooms.get(one.room) ?? []), one]);
  const toggle = (room: string): void => {
    const next = new Set(closed);
    if (!next.delete(room)) next.add(room);
    setClosed(next);
  };
  return (
    <>
      <ul>
        {[...rooms].map(([room, channels]) => (
          <li key={room}>
            <button
              type="button"
              class="tree-room"
              aria-expanded={!closed.has(room)}
              data-item=""
              onClick={() => toggle(room)}
            >
              <span>{room}</span>
              <span class="quiet-number">{count(channels.length)}</span>
            </button>
            {!closed.has(room) && (
              <ul>
                {channels.map(({ channel, members }) => (
                  <li key={channel}>
                    <a
                      class="tree-channel"
                      href={link('rooms', room, channel)}
                      data-item=""
                      aria-current={room === chosenRoom && channel === chosenChannel ? 'page' : undefined}
                    >
                      <span>{channel}</span>
                      <span class="quiet-number" title="members">
                        {members === 0 ? '' : count(members)}
                      </span>
                    </a>
                  </li>
                ))}
              </ul>
            )}
          </li>
        ))}
      </ul>
      {listed.next !== null && <Empty title={`These are the first ${MOST}.`}>Search to see others.</Empty>}
    </>
  );
}
