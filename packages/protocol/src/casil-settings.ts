import type { CommandArgs } from './commands.ts';

/** The settings of the inspection layer, each one given. */
export type CasilSettings = Required<Omit<CommandArgs<'op.casil.reload'>, 'tenant' | 'reset'>>;
