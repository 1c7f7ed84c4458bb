import type { ChannelSummary } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { bytes, count, plural, short } from '../format/quantity.ts';
import { type Order, type RoomNode, treeOf } from '../model/channel-tree.ts';
import { link } from '../session/route.ts';

interface TreeProps {
  readonly channels: readonly ChannelSummary[];
  /** Events per second, by `room:channel`. */
  readonly rates: ReadonlyMap<string, number>;
  readonly room: string | undefined;
  readonly channel: string | undefined;
}

/** Rooms and channels with their traffic, stored size and members. */
export function ChannelTree({ channels, rates, room: chosenRoom, channel: chosenChannel }: TreeProps): VNode {
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [order, setOrder] = useState<Order>('name');
  const rooms = useMemo(() => treeOf(channels, rates, order), [channels, rates, order]);
  const toggle = (room: string): void => {
    const next = new Set(closed);
    if (!next.delete(room)) next.add(room);
    setClosed(next);
  };
  return (
    <>
      <div class="tree-row tree-head">
        <Sort by="name" text="Channel" order={order} onChoose={setOrder} />
        <span>Rate</span>
        <Sort by="bytes" text="Kept" order={order} onChoose={setOrder} />
        <Sort by="members" text="Members" order={order} onChoose={setOrder} />
      </div>
      <ul class="tree">
        {rooms.map((node) => (
          <li key={node.room}>
            <RoomRow node={node} isOpen={!closed.has(node.room)} onToggle={() => toggle(node.room)} />
            {!closed.has(node.room) && (
              <ul>
                {node.channels.map((one) => (
                  <li key={one.channel}>
                    <ChannelRow
                      channel={one}
                      rate={rates.get(`${one.room}:${one.channel}`)}
                      isChosen={one.room === chosenRoom && one.channel === chosenChannel}
                    />
                  </li>
                ))}
              </ul>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}

interface SortProps {
  readonly by: Order;
  readonly text: string;
  readonly order: Order;
  readonly onChoose: (order: Order) => void;
}

function Sort({ by, text, order, onChoose }: SortProps): VNode {
  const isChosen = by === order;
  return (
    <button
      type="button"
      aria-label={`Sort by ${text.toLowerCase()}`}
      aria-pressed={isChosen}
      onClick={() => onChoose(by)}
    >
      {text}
      {isChosen && <span aria-hidden="true">{by === 'name' ? ' ↑' : ' ↓'}</span>}
    </button>
  );
}

interface RoomRowProps {
  readonly node: RoomNode;
  readonly isOpen: boolean;
  readonly onToggle: () => void;
}

function RoomRow({ node: { room, channels, bytes: kept, rate }, isOpen, onToggle }: RoomRowProps): VNode {
  return (
    <button type="button" class="tree-row tree-room" aria-expanded={isOpen} data-item="" onClick={onToggle}>
      <span class="tree-name">
        <span class="tree-mark" aria-hidden="true">
          {isOpen ? '▾' : '▸'}
        </span>
        {room}{' '}
        <span class="quiet-number" title={plural(channels.length, 'channel')}>
          {count(channels.length)}
          <span class="hidden-text"> {channels.length === 1 ? 'channel' : 'channels'}</span>
        </span>
      </span>
      <Rate of={rate} />
      <Kept bytes={kept} />
      <span />
    </button>
  );
}

interface ChannelRowProps {
  readonly channel: ChannelSummary;
  readonly rate: number | undefined;
  readonly isChosen: boolean;
}

function ChannelRow({ channel: one, rate, isChosen }: ChannelRowProps): VNode {
  const { room, channel, members } = one;
  return (
    <a
      class="tree-row tree-channel"
      href={link('rooms', room, channel)}
      data-item=""
      aria-current={isChosen ? 'page' : undefined}
    >
      <span class="tree-name">{channel}</span>
      <Rate of={rate} />
      <Kept bytes={one.bytes} events={one.events} />
      <span class="quiet-number" title={members === 0 ? undefined : plural(members, 'member')}>
        {members > 0 && (
          <>
            {count(members)}
            <span class="hidden-text"> {members === 1 ? 'member' : 'members'}</span>
          </>
        )}
      </span>
    </a>
  );
}

/** Empty without traffic, so that active channels stand out. */
function Rate({ of: rate }: { readonly of: number | undefined }): VNode {
  if (rate === undefined || rate === 0) return <span class="quiet-number" />;
  return (
    <span class="quiet-number" title="Events a second">
      {rate < 10 ? short(rate) : short(Math.round(rate))}/s
    </span>
  );
}

function Kept({
  bytes: kept,
  events,
}: {
  readonly bytes: number | undefined;
  readonly events?: number | undefined;
}): VNode {
  if (kept === undefined || kept === 0) return <span class="quiet-number" />;
  return (
    <span class="quiet-number" title={events === undefined ? undefined : `in ${plural(events, 'event')}`}>
      {bytes(kept)}
    </span>
  );
}
