/** Rejects on the first failure, and never resolves. */
export interface Faults {
  readonly failed: Promise<never>;
  fault(reason: string): void;
}

export function makeFaults(): Faults {
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  // It is raced against the run; a failure between two races must not crash the process.
  failed.catch(() => {});
  return { failed, fault: (reason) => fail(new Error(reason)) };
}
