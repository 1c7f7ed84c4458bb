/** The envelopes that all groups of this process keep in memory, in UTF-16 units. */
export class TextBudget {
  readonly limit: number = 67_108_864;
  used = 0;
}
