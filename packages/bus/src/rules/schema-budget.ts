/**
 * Steps that one check of a payload may take. Subschemas multiply with the items of a payload, so that neither the size of a schema
 * nor that of a payload bounds what they cost together; 500,000 steps are some 20 ms.
 */
const MAX_STEPS = 500_000;

/** The steps that a check has left. */
export class StepBudget {
  private left: number = MAX_STEPS;

  /** Throws {@link TooCostly} when there are none left. */
  spend(steps: number): void {
    this.left -= steps;
    if (this.left < 0) throw new TooCostly();
  }
}

/** The check of a payload was given up. */
export class TooCostly extends Error {}
