import type { Session } from './session.ts';

/** How long sending an envelope may take, in milliseconds: less than another node's confirmation timeout. */
const LEAVING_MS = 1_500;

/**
 * Sends one envelope, unless the client has already received it (`isNew`). Resolves with whether it left this process
 * within 1.5 s while the connection was open; on false the caller may store it elsewhere.
 */
export async function sendSurely(session: Session, text: string, isNew: (client: string) => boolean): Promise<boolean> {
  const { outbox } = session;
  // The session exists until the connection is gone, but data sent after a close began is not read any more.
  if (!outbox.isOpen) return false;
  if (isNew(session.id)) session.send(text);
  return outbox.emptied(LEAVING_MS);
}

/** The same for several clients: resolves with the ids of those it was sent to. */
export async function sendAllSurely(
  sessions: readonly Session[],
  text: string,
  isNew: (client: string) => boolean,
): Promise<string[]> {
  const left = await Promise.all(sessions.map((session) => sendSurely(session, text, isNew)));
  return sessions.filter((_, at) => left[at]).map(({ id }) => id);
}
