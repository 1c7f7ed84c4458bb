import type { CommandResult } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Badge, Empty, Note, Panel, Tabs } from '../components/parts.tsx';
import { useSubscription } from '../components/subscription.ts';
import { bytes, count, plural, short } from '../format/quantity.ts';
import type { At } from '../model/at.ts';
import { type Row, Tail } from '../model/tail.ts';
import { command, may } from '../session/session.ts';
import { GroupsPanel } from './groups.tsx';
import { Members } from './members.tsx';
import { MessageView } from './message.tsx';
import { PublishForm } from './publish.tsx';
import { RulesPanel } from './rules.tsx';
import { TailPanel } from './tail-panel.tsx';

/** Initial number of history messages. */
const FIRST = 100;

/** One channel: its messages, members and rules. */
export function ChannelView({ room, channel }: At): VNode {
  const tail = useMemo(() => new Tail(), []);
  const [hasGap, setGap] = useState(false);
  const problem = useSubscription(
    { room, channel },
    { history: FIRST, take: (envelope) => tail.push(envelope), missed: () => setGap(true) },
  );
  useEffect(() => () => tail.stop(), [tail]);
  const [tab, setTab] = useState('Publish');
  const [row, choose] = useState<Row>();
  const info = useLive<CommandResult<'channel_info'>>(
    () => command('channel_info', { room, channel }),
    2_500,
    `${room}:${channel}`,
  );
  const tabs = [
    ...(may('op.rules.explain') ? ['Publish'] : []),
    'Members',
    ...(may('group.list') ? ['Groups'] : []),
    ...(may('op.rules.explain') ? ['Rules'] : []),
  ];
  const chosen = tabs.includes(tab) ? tab : 'Members';
  return (
    <div class="channel-grid">
      {problem !== '' && <Note tone="bad">{problem}</Note>}
      {hasGap && (
        <Note tone="warn">Messages are missing here: history no longer holds all that was sent meanwhile.</Note>
      )}
      <TailPanel tail={tail} room={room} channel={channel} chosen={row} onChoose={choose} />
      <div class="channel-side">
        {row !== undefined && <MessageView key={row.key} envelope={row.envelope} onClose={() => choose(undefined)} />}
        <Panel title="Channel" flush actions={<ChannelBadges of={info.value} />}>
          <Tabs label="About the channel" tabs={tabs} chosen={chosen} onChoose={setTab} />
          {chosen === 'Publish' && <PublishForm room={room} channel={channel} />}
          {chosen === 'Members' &&
            (info.value === undefined ? (
              <Empty title={info.problem === '' ? 'Asking who is here…' : info.problem} />
            ) : (
              <Members info={info.value} />
            ))}
          {chosen === 'Groups' && <GroupsPanel room={room} channel={channel} />}
          {chosen === 'Rules' && <RulesPanel room={room} channel={channel} />}
        </Panel>
      </div>
    </div>
  );
}

function ChannelBadges({ of: info }: { readonly of: CommandResult<'channel_info'> | undefined }): VNode {
  const rate = useRate(info);
  if (info === undefined) return <Badge>…</Badge>;
  return (
    <span class="row">
      <Badge>sequence {count(info.sequence)}</Badge>
      <Badge>{rate === undefined ? '…' : short(rate)}/s</Badge>
      <Badge>{plural(info.count, 'member')}</Badge>
      <Badge>{keptOf(info)}</Badge>
      {info.hardcoded && <Badge>built in</Badge>}
    </span>
  );
}

/** What a channel stores, and its limit. */
function keptOf({ events, bytes: size, history }: CommandResult<'channel_info'>): string {
  const most = plural(history.size, 'event');
  if (events === undefined || size === undefined) return `keeps up to ${most}`;
  return `keeps ${count(events)} of ${most}, ${bytes(size)}`;
}

/** The growth rate of a sequence between the last two responses; undefined before the second. */
function useRate(info: CommandResult<'channel_info'> | undefined): number | undefined {
  const last = useRef<{ sequence: number; at: number }>(undefined);
  const [rate, setRate] = useState<number>();
  useEffect(() => {
    if (info === undefined) return;
    const { sequence } = info;
    const at = performance.now();
    const { current: before } = last;
    last.current = { sequence, at };
    // A lower sequence means that the channel was restarted.
    if (before !== undefined && sequence >= before.sequence)
      setRate((1000 * (sequence - before.sequence)) / (at - before.at));
  }, [info]);
  return rate;
}
