import { BusError, encodeError, newId } from '@arqonbus/protocol';
import { andThen, attempt } from './awaitable.ts';
import type { Session, Wanted } from './connection/session.ts';
import { WelcomeText } from './connection/welcome.ts';
import type { Core } from './core.ts';
import type { Awaitable } from './engine/engine.ts';
import type { Subjects } from './subjects.ts';
import type { Joined } from './subscribe/join.ts';

/** Sends the first frames of a connection. */
export class Greeting {
  private readonly core: Core;
  private readonly subjects: Subjects;
  private readonly text: WelcomeText;

  constructor(core: Core, subjects: Subjects) {
    this.core = core;
    this.subjects = subjects;
    this.text = new WelcomeText(core.options);
  }

  /** Sends the welcome and the result of the requested membership, then joins the memberships of the token. */
  send(session: Session, wanted: Wanted | undefined): Awaitable<void> {
    const { join = [] } = session.principal;
    const welcomed = this.welcome(session, wanted);
    return join.length === 0 ? welcomed : andThen(welcomed, () => this.subjects.joinAll(session, join));
  }

  private welcome(session: Session, wanted: Wanted | undefined): Awaitable<void> {
    const { core } = this;
    const welcome = (joined: Wanted | null): void => session.send(this.text.of(session, joined));
    if (wanted === undefined) return welcome(null);
    const joined = ({ begin }: Joined): void => {
      welcome(wanted);
      begin();
    };
    const refused = (error: unknown): void => {
      welcome(null);
      const fault = error instanceof BusError ? error : core.internal(error);
      const { tenant } = session.principal;
      core.faults.failed(fault.code, { tenant, client_id: session.id, ...wanted });
      session.send(encodeError(fault, undefined));
    };
    const join = (): Awaitable<Joined> => {
      this.inspect(session, wanted);
      return core.memberships.join(session, wanted);
    };
    return attempt(() => andThen(join(), joined), refused);
  }

  /** The content policy inspects the first membership like a `join_channel` command. */
  private inspect(session: Session, { room, channel }: Wanted): void {
    const { tenant } = session.principal;
    const { inspector } = this.core;
    if (!inspector.enabledFor(tenant)) return;
    const payload = { room, channel };
    const command = 'join_channel';
    inspector.inspect({ type: 'command', id: newId(), tenant, command, room, channel, payload }, session);
  }
}
