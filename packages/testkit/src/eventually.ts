const patienceMs = 20_000;
const pauseMs = 10;

/**
 * Calls `check` until it neither throws nor returns false, and returns its value. For waiting on something real: it asserts that the thing happens, not when.
 * Gives up with the last failure.
 */
export const eventually = async <T>(check: () => T | Promise<T>, withinMs = patienceMs): Promise<T> => {
  for (const until = Date.now() + withinMs; ; ) {
    let failure: unknown = new Error('eventually: the check never returned anything but false');
    try {
      const value = await check();
      if (value !== false) return value;
    } catch (error) {
      failure = error;
    }
    if (Date.now() > until) throw failure;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
};
