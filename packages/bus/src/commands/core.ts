import type { Core } from '../core.ts';
import type { Subjects } from '../subjects.ts';
import { accessCommands } from './access.ts';
import { announceCommands } from './announce.ts';
import { channelCommands } from './channels.ts';
import type { AnyCommand } from './command.ts';
import { connectionCommands } from './connection.ts';
import { deliveryCommands } from './delivery.ts';
import { groupCommands } from './groups.ts';
import { historyCommands } from './history.ts';
import { membershipCommands } from './membership.ts';
import { ruleCommands } from './rules.ts';
import { streamCommands } from './streams.ts';

/** The commands that every server has. A new family of commands joins this list. */
export function coreCommands(bus: Core, subjects: Subjects, listAll: () => readonly AnyCommand[]): AnyCommand[] {
  return [
    ...connectionCommands(bus, listAll),
    ...membershipCommands(bus),
    ...channelCommands(bus),
    ...historyCommands(bus),
    ...ruleCommands(bus),
    ...accessCommands(bus, subjects),
    ...groupCommands(bus),
    ...streamCommands(bus),
    ...deliveryCommands(bus),
    ...announceCommands(bus),
  ];
}
