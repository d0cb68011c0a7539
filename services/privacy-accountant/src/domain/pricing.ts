/**
 * The Renyi filter's arithmetic, from the Rust core: pure functions, handed to the domain so that it decides without knowing where they
 * come from.
 *
 * The filter (Feldman and Zrnic, "Individual privacy accounting via a Renyi filter", arXiv 2008.11193, theorem 4.3; Lecuyer 2103.01379):
 * fix an order before the first event, and let the next event happen only while the sum of the Renyi divergences at that order stays
 * within an allowance. Then everything together is (order, allowance)-RDP, *whatever* is asked next and however that depends on what was
 * seen: parameters, which unit takes part, whether there is another run at all. A unit's account counts the events that it was in.
 */
export interface Pricing {
  /** Renyi divergence of one occurrence of the event, rounded up. PRIVACY_EVENT_INVALID when it cannot be accounted for. */
  renyi(event: string, order: number): number;
  /** The order at which a budget lasts longest for noise that is spread over many events. */
  orderFor(epsilon: number, delta: number): number;
  /** The most that may be spent at `order` for (epsilon, delta), rounded down; not positive: nothing may. */
  allowance(order: number, epsilon: number, delta: number): number;
  /** The epsilon of what was spent at `order`, rounded up. 0 for nothing. */
  epsilon(order: number, spent: number, delta: number): number;
}
