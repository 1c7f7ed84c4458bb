import type { Session } from './session.ts';

/** How long an envelope may take to leave, in milliseconds: less than another node waits for word of it. */
const LEAVING_MS = 1_500;

/**
 * Sends one envelope, unless the client has had it (`isNew`). Resolves with whether it has left this process while the
 * line was open, within 1.5 s: whoever is told false may keep it elsewhere.
 */
export async function sendSurely(session: Session, text: string, isNew: (client: string) => boolean): Promise<boolean> {
  const { outbox } = session;
  // The session lives on until the line is gone, and nobody reads any more what goes over one that ends.
  if (!outbox.isOpen) return false;
  if (isNew(session.id)) session.send(text);
  return outbox.emptied(LEAVING_MS);
}

/** The same for several clients: resolves with the ids of those that it has left for. */
export async function sendAllSurely(
  sessions: readonly Session[],
  text: string,
  isNew: (client: string) => boolean,
): Promise<string[]> {
  const left = await Promise.all(sessions.map((session) => sendSurely(session, text, isNew)));
  return sessions.filter((_, at) => left[at]).map(({ id }) => id);
}
