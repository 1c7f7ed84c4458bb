/** A channel, by name. */
export interface At {
  readonly room: string;
  readonly channel: string;
}
