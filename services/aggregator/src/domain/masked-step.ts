// The steps that only a masked attempt takes, between the draw and the tasks: selecting → opening → collecting → … Terms are computed for the
// cohort as it was drawn, saved, and opened with the secagg service; only then anybody is asked. A private run pays in between, with its terms saved:
// selecting → opening → reserving → opening → collecting → … An attempt that cannot be opened leaves
// nothing behind, and the next one has fresh keys.
import type { MaskedInput, Masking } from './masking.ts';
import type { RoundEffect, RoundRules, Stage } from './round.ts';

/** What of the round machine such a step may move. */
export interface MaskedHands {
  readonly draft: { stage: Stage; masking?: Masking | undefined; readonly rules: Pick<RoundRules, 'privacy'> };
  readonly effects: RoundEffect[];
  /** Their tasks are put nowhere. */
  leaveOut(tasks: readonly string[]): void;
  save(): void;
  dispatch(): void;
  tryAgain(reason: string, again: boolean): void;
}

export function takeMasked(input: MaskedInput, { draft, effects, ...hands }: MaskedHands): void {
  switch (input.type) {
    case 'masking':
      if (draft.stage !== 'opening' || draft.masking !== undefined) return;
      draft.masking = input.masking;
      hands.leaveOut(input.without);
      if (draft.rules.privacy !== undefined) draft.stage = 'reserving';
      hands.save();
      effects.push({ do: draft.rules.privacy === undefined ? 'open-masked' : 'reserve' });
      return;
    case 'opened':
      if (draft.stage === 'opening' && draft.masking !== undefined) hands.dispatch();
      return;
    case 'mask-failed':
      if (draft.stage !== 'selecting') hands.tryAgain(input.reason, input.again);
  }
}

/** After a restart every step is taken again: the secagg service answers the same. */
export function resumeMasked({ draft, effects }: Pick<MaskedHands, 'draft' | 'effects'>): void {
  if (draft.stage === 'opening') effects.push({ do: draft.masking === undefined ? 'mask' : 'open-masked' });
  else if (draft.masking !== undefined) effects.push({ do: 'await-sharing' });
}
