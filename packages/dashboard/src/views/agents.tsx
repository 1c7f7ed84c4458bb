import type { AgentCard, ClientRecord } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Badge, Empty, Field, Note, Panel, type Tone } from '../components/parts.tsx';
import { ago, count, plural } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import { link } from '../session/route.ts';
import { command, isAtLeast, may } from '../session/session.ts';
import { MailboxesPanel } from './mailboxes.tsx';
import { QuestionsPanel } from './questions.tsx';
import { TokenStreamsPanel } from './token-streams.tsx';

/** Maximum pages of 100 to read, and maximum displayed cards. */
const MAX_PAGES = 5;
const MAX_CARDS = 200;
/** Maximum displayed skills and channels of one agent. */
const MAX_BADGES = 12;
const TONES: Readonly<Record<string, Tone>> = { idle: 'good', busy: 'accent', lapsed: 'warn' };

type Skill = NonNullable<AgentCard['skills']>[number];

async function readAgents(): Promise<readonly ClientRecord[]> {
  const found: ClientRecord[] = [];
  let after: string | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const { clients, next }: { clients: ClientRecord[]; next: string | null } = await command('list_clients', {
      ...(after === null ? {} : { after }),
    });
    found.push(...clients.filter(({ client_type: kind, card }) => kind === 'ai-agent' || card !== undefined));
    if (next === null) break;
    after = next;
  }
  return found;
}

/** Agents, and their questions to people. */
export function AgentsView(): VNode {
  return (
    <div class="view">
      <div class="view-head">
        <h1>Agents</h1>
      </div>
      <div class="agents-grid">
        <div>
          <QuestionsPanel />
          <AgentsPanel />
        </div>
        <div>
          {may('stream.list') && <TokenStreamsPanel />}
          {isAtLeast('admin') && <MailboxesPanel />}
        </div>
      </div>
    </div>
  );
}

/** The connected agents, with their descriptions. */
function AgentsPanel(): VNode {
  const [search, setSearch] = useState('');
  const agents = useLive(readAgents, 3_000);
  const wanted = search.trim().toLowerCase();
  const all = agents.value ?? [];
  const found = all.filter((one) => textsOf(one).some((text) => text.toLowerCase().includes(wanted)));
  return (
    <Panel title="Who is here" flush actions={<Badge>{plural(found.length, 'agent')}</Badge>}>
      {agents.problem !== '' && <Note tone="bad">{agents.problem}</Note>}
      <div class="filters">
        <Field label="Find" placeholder="name, skill, state, note" value={search} onInput={setSearch} search grow />
      </div>
      {found.length === 0 ? (
        <Empty title={emptyTitle(agents.value === undefined, all.length)}>
          {all.length === 0 && (
            <>
              <code>npx arqon mcp</code> connects one; a program does with <code>clientType: 'ai-agent'</code>.
            </>
          )}
        </Empty>
      ) : (
        <ul class="cards">
          {found.slice(0, MAX_CARDS).map((one) => (
            <Agent key={one.client_id} of={one} />
          ))}
        </ul>
      )}
      {found.length > MAX_CARDS && (
        <Empty title={`These are ${MAX_CARDS} of ${count(found.length)}.`}>Search to see others.</Empty>
      )}
    </Panel>
  );
}

function emptyTitle(isAsking: boolean, many: number): string {
  if (isAsking) return 'Asking who is here…';
  return many === 0 ? 'No agent is connected.' : 'No agent is like this.';
}

function Agent({ of: one }: { readonly of: ClientRecord }): VNode {
  const { client_id: id, screen_name: name, sender, state, note, rooms } = one;
  const says = saysOf(one);
  const skills = skillsOf(one);
  const places = Object.entries(rooms).flatMap(([room, channels]) => channels.map((channel) => ({ room, channel })));
  const { subject } = sender;
  return (
    <li class="card">
      <div class="row">
        <a class="card-name" href={link('clients', id)} data-item="">
          {visible(name ?? subject ?? id)}
        </a>
        {state !== undefined && <Badge tone={TONES[state] ?? ''}>{visible(state)}</Badge>}
      </div>
      {subject !== undefined && subject.toLowerCase() !== name?.toLowerCase() && (
        <span class="muted">{visible(subject)}</span>
      )}
      {note !== undefined && <p>{visible(note)}</p>}
      {says !== '' && <p class="muted">{visible(says)}</p>}
      {skills.length > 0 && (
        <div class="row">
          {skills.slice(0, MAX_BADGES).map((skill) => (
            <span key={skill.id} class="badge skill" title={visible(titleOf(skill))}>
              {visible(skill.name)}
            </span>
          ))}
          <More than={MAX_BADGES} of={skills.length} />
        </div>
      )}
      <div class="row card-foot">
        {places.slice(0, MAX_BADGES).map(({ room, channel }) => (
          <a key={`${room}:${channel}`} href={link('rooms', room, channel)}>
            {room}:{channel}
          </a>
        ))}
        <More than={MAX_BADGES} of={places.length} />
        <span class="muted">heard {ago(one.last_activity)}</span>
      </div>
    </li>
  );
}

function More({ than, of: all }: { readonly than: number; readonly of: number }): VNode | null {
  return all > than ? <span class="muted">and {count(all - than)} more</span> : null;
}

/** The valid skills of a card; cards are untrusted. */
function skillsOf({ card }: ClientRecord): readonly Skill[] {
  const skills: unknown = card?.skills;
  if (!Array.isArray(skills)) return [];
  return skills.filter((one: Partial<Skill> | null) => typeof one?.id === 'string' && typeof one.name === 'string');
}

function saysOf({ card, personality }: ClientRecord): string {
  const description: unknown = card?.description;
  return typeof description === 'string' ? description : (personality ?? '');
}

function titleOf({ id, description, tags }: Skill): string {
  return [id, description, Array.isArray(tags) ? tags.join(', ') : undefined]
    .filter((one) => typeof one === 'string' && one !== '')
    .join(' · ');
}

function textsOf(one: ClientRecord): string[] {
  const { client_id, screen_name, sender, state, note } = one;
  const skills = skillsOf(one).flatMap((skill) => [skill.name, titleOf(skill)]);
  return [client_id, screen_name, sender.subject, state, note, saysOf(one), ...skills].filter(
    (text) => typeof text === 'string',
  );
}
