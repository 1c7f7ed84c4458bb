/** What all groups of this process keep at hand, in UTF-16 units. */
export class TextBudget {
  readonly limit: number = 67_108_864;
  used = 0;
}
