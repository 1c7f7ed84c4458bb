import type { ComponentType, VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { KeyboardHelp, openHelp } from '../components/keyboard.tsx';
import { Button, Empty, Note } from '../components/parts.tsx';
import { Toasts } from '../components/toasts.tsx';
import { credentials } from '../session/credentials.ts';
import { questions } from '../session/questions.ts';
import { link, place } from '../session/route.ts';
import { isAtLeast, may, phase, signOut, welcome } from '../session/session.ts';
import { theme, toggleTheme } from '../session/theme.ts';
import { AccessView } from './access.tsx';
import { AgentsView } from './agents.tsx';
import { CasilView } from './casil.tsx';
import { ClientsView } from './clients.tsx';
import { LogView } from './log.tsx';
import { OperatorsView } from './operators.tsx';
import { OverviewView } from './overview.tsx';
import { RoomsView } from './rooms.tsx';

interface View {
  readonly path: string;
  readonly title: string;
  readonly view: ComponentType;
  /** Whether the session's role may see it. */
  readonly isOpen: () => boolean;
  /** The number of items that wait for a person. */
  readonly waiting?: () => number;
}

const VIEWS: readonly View[] = [
  { path: 'overview', title: 'Overview', view: OverviewView, isOpen: () => true },
  { path: 'rooms', title: 'Rooms', view: RoomsView, isOpen: () => may('list_rooms') },
  { path: 'clients', title: 'Clients', view: ClientsView, isOpen: () => isAtLeast('user') },
  {
    path: 'agents',
    title: 'Agents',
    view: AgentsView,
    isOpen: () => isAtLeast('user'),
    waiting: () => questions.open.value.length,
  },
  { path: 'operators', title: 'Operators', view: OperatorsView, isOpen: () => isAtLeast('user') },
  { path: 'casil', title: 'CASIL', view: CasilView, isOpen: () => may('op.casil.get') },
  { path: 'access', title: 'Access', view: AccessView, isOpen: () => may('op.access.list') },
  { path: 'log', title: 'Log', view: LogView, isOpen: () => isAtLeast('admin') },
];

/** The frame around all views: navigation, connection state, identity. */
export function Shell(): VNode {
  const [path = 'overview'] = place.value;
  const chosen = VIEWS.find((one) => one.path === path && one.isOpen());
  const main = useRef<HTMLElement>(null);
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    document.title = `${chosen?.title ?? 'Not found'} · ArqonBus`;
    main.current?.scrollTo(0, 0);
    // On a narrow screen the navigation is wider than the screen.
    nav.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [chosen?.title]);
  const Shown = chosen?.view;
  return (
    <div class="shell">
      <div class="brand">
        <span class="brand-mark" aria-hidden="true" /> ArqonBus
      </div>
      <Bar />
      <nav class="nav" aria-label="Views" ref={nav}>
        <ul>
          {VIEWS.filter((one) => one.isOpen()).map((one) => (
            <li key={one.path}>
              <a href={link(one.path)} aria-current={one === chosen ? 'page' : undefined}>
                {one.title}
                <Waiting of={one.waiting?.() ?? 0} />
              </a>
            </li>
          ))}
        </ul>
      </nav>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: keyboard users must be able to scroll it */}
      <main class="main" ref={main} tabIndex={0}>
        {phase.value === 'away' && (
          <Note tone="warn">
            The line to the bus is lost. What you see is the last that was known; the page tries to come back by itself.
          </Note>
        )}
        {Shown === undefined ? (
          <Empty title="There is no such view, or your role does not show it.">
            <a href={link('overview')}>Go to the overview</a>
          </Empty>
        ) : (
          <Shown />
        )}
      </main>
      <Toasts />
      <KeyboardHelp />
    </div>
  );
}

function Waiting({ of: many }: { readonly of: number }): VNode | null {
  if (many === 0) return null;
  return (
    <span class="waiting">
      {many}
      <span class="hidden-text"> waiting for an answer</span>
    </span>
  );
}

function Bar(): VNode {
  const { value: told } = welcome;
  const isAway = phase.value === 'away';
  return (
    <header class="bar">
      <span class="line-state" data-state={isAway ? 'away' : 'open'} role="status">
        {isAway ? 'Reconnecting…' : 'Live'}
      </span>
      <span class="muted only-wide">
        {told?.server.node} · {told?.server.version}
      </span>
      <span class="bar-spring" />
      <span class="muted only-wide">
        {told?.role} of {told?.tenant === '*' ? 'all tenants' : told?.tenant}
      </span>
      <Button small tone="plain" label="Keys" onClick={openHelp}>
        ?
      </Button>
      <Button small onClick={toggleTheme}>
        {theme.value === 'dark' ? 'Light' : 'Dark'}
      </Button>
      {credentials.value.kind !== 'none' && (
        <Button small onClick={() => void signOut()}>
          Sign out
        </Button>
      )}
    </header>
  );
}
