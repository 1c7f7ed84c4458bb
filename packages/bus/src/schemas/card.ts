import type { AgentCard } from '@arqonbus/protocol';
import { z } from 'zod';

const TEXT = z.string().max(8_192);
/** Of anything in a card; its bytes are bounded besides. */
const MANY = 1_000;

const SKILL = z.looseObject({
  id: TEXT,
  name: TEXT,
  description: TEXT.exactOptional(),
  tags: z.array(TEXT).max(MANY).exactOptional(),
});

/** What an agent is and can do: any fields, of which `skills` has the form of an A2A agent card. */
export const CARD: z.ZodType<AgentCard> = z
  .looseObject({ skills: z.array(SKILL).max(MANY).describe('Found by id, name or tag.').exactOptional() })
  .meta({ id: 'AgentCard', maxProperties: MANY, description: 'The description and abilities of an agent.' });

/** Whether a card names a skill by its id, its name or one of its tags, in any case. */
export function hasSkill(card: AgentCard | undefined, wanted: string): boolean {
  const word = wanted.toLowerCase();
  return (card?.skills ?? []).some(({ id, name, tags = [] }) =>
    [id, name, ...tags].some((one) => one.toLowerCase() === word),
  );
}
