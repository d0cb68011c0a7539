// The round machine. It only decides: drawing nodes, saving, sending, folding are effects that a flow carries out; whatever comes
// back is the next input. `save` stands before every effect that the world can see: an owner whose save is refused does nothing.
import { chooseCohort } from './choose-cohort.ts';
import { type MaskedHands, resumeMasked, takeMasked } from './masked-step.ts';
import { MOST_ATTEMPTS } from './masking.ts';
import { hidesCohort } from './private-round.ts';
import { enoughOf, mayClose, neededOf } from './quorum.ts';
import {
  deadlineOf,
  isOpen,
  type Member,
  type MemberState,
  type RoundEffect,
  type RoundEnd,
  type RoundInput,
  type RoundState,
  windowOf,
} from './round.ts';
import { phaseName, reasonsOf } from './round-report.ts';

export function step(state: RoundState, input: RoundInput, now: number): { state: RoundState; effects: RoundEffect[] } {
  return stepAll(state, [input], now);
}

/** Several inputs in one go: a thousand answers cost one copy of the cohort, and one save. */
export function stepAll(
  state: RoundState,
  inputs: readonly RoundInput[],
  now: number,
): { state: RoundState; effects: RoundEffect[] } {
  const machine = new Machine(state, now);
  for (const input of inputs) machine.take(input);
  return { state: machine.result(), effects: machine.effects };
}

type Draft = { -readonly [K in keyof RoundState]: RoundState[K] };

class Machine {
  readonly effects: RoundEffect[] = [];
  private readonly draft: Draft;
  private readonly members: Map<string, Member>;
  private readonly now: number;
  private readonly counts: Record<MemberState, number>;

  constructor(state: RoundState, now: number) {
    this.draft = { ...state };
    this.members = new Map(state.members);
    this.now = now;
    this.counts = { waiting: 0, recording: 0, accepted: 0, refused: 0, failed: 0, dropped: 0 };
    for (const member of state.members.values()) this.counts[member.state] += 1;
  }

  result(): RoundState {
    return { ...this.draft, members: this.members };
  }

  take(input: RoundInput): void {
    if (this.draft.stage === 'ended') {
      if (input.type === 'resumed') this.endAgain();
      return;
    }
    switch (input.type) {
      case 'nodes':
        if (this.draft.stage === 'selecting') this.select(input);
        else this.dropOffline(input.online, input.unwilling ?? new Set());
        break;
      case 'drawn':
        this.drawn(input);
        break;
      case 'reserved':
        if (this.draft.stage === 'reserving') this.reserved(input.reservationId);
        break;
      case 'not-reserved':
        if (this.draft.stage === 'reserving') this.abandon(input.reason, () => this.end('failed', input.reason));
        break;
      case 'recording':
        this.move(input.taskId, ['waiting'], 'recording');
        break;
      case 'not-recorded':
        this.notRecorded(input.taskId);
        break;
      case 'accepted':
        this.accepted(input.taskId);
        break;
      case 'refused':
      case 'failed':
        this.settled(input);
        break;
      case 'masking':
      case 'opened':
      case 'mask-failed':
        takeMasked(input, this.hands());
        break;
      case 'asked':
        this.asked(input);
        break;
      case 'enough':
        if (this.draft.stage === 'collecting' && this.draft.flower !== undefined)
          this.close('it was not needed any more');
        break;
      case 'tick':
        this.tick();
        break;
      case 'resumed':
        this.resumed(input.recorded);
        break;
      case 'finished':
        if (this.draft.stage === 'finishing') this.end('completed', '');
        break;
      case 'finish-failed':
        if (this.draft.stage === 'finishing') this.end('failed', input.reason);
        break;
      case 'stop':
        this.abandon('the run was stopped', () => {
          this.release('the run was stopped');
          this.end('stopped', '');
        });
        break;
    }
  }

  private select(nodes: RoundInput & { type: 'nodes' }): void {
    const choice = chooseCohort(this.draft, nodes);
    switch (choice.kind) {
      case 'nobody':
        this.end('skipped', 'no node was to be selected');
        return;
      case 'draw':
        this.effects.push({ do: 'draw', ...choice.draw });
        return;
      case 'never': {
        const { reason } = choice;
        this.abandon(reason, () => this.end('failed', `${phaseName(this.draft)} got no further: ${reason}`));
        return;
      }
      case 'wait':
        if (this.draft.waitingFor !== choice.needed) {
          this.draft.waitingFor = choice.needed;
          this.log(choice.line);
        }
        this.wake();
    }
  }

  private drawn(input: RoundInput & { type: 'drawn' }): void {
    if (this.draft.stage !== 'selecting') return;
    this.draft.wanted = input.wanted;
    this.draft.waitingFor = 0;
    this.draft.traceparent = input.traceparent;
    for (const { nodeId, taskId } of input.tasks) {
      this.members.set(taskId, { nodeId, taskId, state: 'waiting', code: '', reason: '' });
      this.counts.waiting += 1;
    }
    if (this.draft.rules.masked || this.draft.rules.flower !== undefined) {
      // not saved: the next owner draws anew, nobody was asked
      this.draft.stage = 'opening';
      this.draft.units = this.draft.rules.privacy === undefined ? undefined : input.units;
      this.effects.push({ do: 'mask' });
      return;
    }
    if (this.draft.rules.privacy === undefined) {
      this.dispatch();
      return;
    }
    this.draft.stage = 'reserving';
    this.draft.units = input.units;
    // from here on they have taken part: saved before anybody is asked, and kept whatever becomes of the attempt
    if (this.draft.rules.privacy.tree !== undefined)
      this.draft.asked = [...new Set([...(this.draft.asked ?? []), ...(input.units ?? [])])];
    this.save();
    this.effects.push({ do: 'reserve' });
  }

  /** Paid for. Whatever happens to the round from here on, what it releases is covered. */
  private reserved(reservationId: string): void {
    this.draft.reservationId = reservationId;
    this.draft.units = undefined;
    if (this.draft.masking !== undefined) {
      this.draft.stage = 'opening';
      this.save();
      this.effects.push({ do: 'open-masked' });
      return;
    }
    this.dispatch();
    // a cohort of nobody is a cohort: its round releases noise
    this.advance();
  }

  /** The next stage of Flower's SecAgg+: from here on nobody is asked for anything of the one before. */
  private asked({ flower, tasks }: RoundInput & { type: 'asked' }): void {
    if (this.draft.stage !== 'opening') return;
    this.draft.flower = flower;
    this.setMembers(tasks.map((task) => ({ ...task, state: 'waiting', code: '', reason: '' })));
    this.dispatch();
  }

  private setMembers(members: readonly Member[]): void {
    this.members.clear();
    for (const state of Object.keys(this.counts) as MemberState[]) this.counts[state] = 0;
    for (const member of members) {
      this.members.set(member.taskId, member);
      this.counts[member.state] += 1;
    }
  }

  private dispatch(): void {
    this.draft.stage = 'collecting';
    this.draft.dispatchedAt = Math.max(this.now, this.draft.openedAt);
    this.save();
    this.effects.push({ do: 'dispatch', tasks: [...this.members.values()].filter(isOpen) });
    if (this.draft.masking !== undefined) this.effects.push({ do: 'await-sharing' });
    this.wake();
  }

  private accepted(taskId: string): void {
    this.move(taskId, ['waiting', 'recording'], 'accepted');
    const member = this.members.get(taskId);
    // not saved: the intake log has it, and says so at a restart
    if (member?.state === 'accepted') this.effects.push({ do: 'withdraw', tasks: [member] });
    this.advance();
  }

  private settled(input: RoundInput & { type: 'refused' | 'failed' }): void {
    const before = this.members.get(input.taskId);
    if (before === undefined || !isOpen(before)) return;
    this.move(input.taskId, ['waiting', 'recording'], input.type, input.code, input.reason);
    this.save();
    this.withdraw([before]);
    this.logOf(`node ${before.nodeId} ${input.type}: ${input.reason}`);
    this.advance();
  }

  private dropOffline(online: ReadonlySet<bigint>, unwilling: ReadonlySet<bigint>): void {
    if (this.draft.stage !== 'collecting') return;
    const gone = [...this.members.values()].filter(
      (member) => member.state === 'waiting' && !online.has(member.nodeId),
    );
    if (gone.length === 0) return;
    const isUnwilling = ({ nodeId }: Member) => unwilling.has(nodeId);
    const [withdrawn, offline] = [gone.filter(isUnwilling), gone.filter((member) => !isUnwilling(member))];
    for (const member of offline) this.move(member.taskId, ['waiting'], 'dropped', '', 'the node went offline');
    for (const member of withdrawn)
      this.move(member.taskId, ['waiting'], 'dropped', '', 'the node does not consent any more');
    this.save();
    this.withdraw(gone);
    this.logDropped(offline, ['it went offline', 'they went offline']);
    this.logDropped(withdrawn, ['it does not consent any more', 'they do not consent any more']);
    this.advance();
  }

  private logDropped(gone: readonly Member[], [one, many]: readonly [string, string]): void {
    if (gone.length === 0) return;
    this.logOf(gone.length === 1 ? `node ${gone[0]?.nodeId} dropped: ${one}` : `${gone.length} nodes dropped: ${many}`);
  }

  private notRecorded(taskId: string): void {
    const open = this.draft.stage === 'collecting';
    this.move(taskId, ['recording'], open ? 'waiting' : 'dropped', '', open ? '' : 'its answer could not be written');
    this.advance();
  }

  private tick(): void {
    const deadline = deadlineOf(this.result());
    if (deadline === null) return;
    const seconds = windowOf(this.draft);
    if (this.now < deadline) {
      this.wake();
      return;
    }
    if (this.draft.stage === 'selecting') {
      this.end('skipped', `fewer than ${this.draft.waitingFor} nodes came online`);
      return;
    }
    const silent = [...this.members.values()].filter((member) => member.state === 'waiting');
    if (silent.length > 0) this.effects.push({ do: 'miss', nodes: silent.map((member) => member.nodeId) });
    if (this.mayClose(this.counts.accepted + this.counts.recording)) {
      // what is being written now may still make it enough
      this.close(`no answer within ${seconds} s`);
    } else {
      this.tryAgain(`${this.counts.accepted} of the ${this.needed()} answers needed came within ${seconds} s`);
    }
  }

  private resumed(recorded: ReadonlySet<string>): void {
    if (this.draft.stage === 'selecting') {
      this.wake();
      return;
    }
    if (this.draft.stage === 'reserving') {
      this.effects.push({ do: 'reserve' });
      return;
    }
    resumeMasked(this.hands());
    if (this.draft.stage === 'opening') return;
    const collecting = this.draft.stage === 'collecting';
    for (const member of [...this.members.values()]) {
      if (recorded.has(member.taskId)) this.move(member.taskId, ['waiting', 'recording', 'dropped'], 'accepted');
      else if (collecting) this.move(member.taskId, ['recording'], 'waiting');
      else this.move(member.taskId, ['waiting', 'recording'], 'dropped', '', 'its answer was not written in time');
    }
    const members = [...this.members.values()];
    this.withdraw(members.filter((member) => member.state !== 'waiting'));
    const open = members.filter((member) => member.state === 'waiting');
    if (open.length > 0) this.effects.push({ do: 'dispatch', tasks: open });
    if (collecting) this.wake();
    else this.draft.stage = 'closing';
    this.advance();
  }

  /** Closes, finishes or gives up as soon as the counts allow. */
  private advance(): void {
    const { stage } = this.draft;
    const { waiting, recording, accepted } = this.counts;
    if (stage === 'closing' && recording === 0) {
      const { flower } = this.draft;
      if (this.mayClose(accepted) && flower !== undefined && flower.stage !== 'unmask') {
        this.draft.stage = 'opening';
        this.effects.push({ do: 'mask' });
      } else if (this.mayClose(accepted)) {
        this.draft.stage = 'finishing';
        this.effects.push({ do: 'finish' });
      } else {
        this.tryAgain(`${accepted} of the ${this.needed()} answers needed could be counted`);
      }
    }
    if (stage !== 'collecting') return;
    if (this.draft.rules.privacy !== undefined) {
      if (waiting > 0 || recording > 0) return;
      const few = this.draft.masking === undefined ? 'none' : `${accepted} of the ${this.needed()} answers needed`;
      if (this.mayClose(accepted)) this.close('');
      else this.tryAgain(`${few} of ${this.members.size} nodes answered (${reasonsOf(this.members.values())})`);
      return;
    }
    if (waiting === 0 && recording === 0 && accepted >= this.needed()) {
      this.close('');
    } else if (accepted >= enoughOf(this.draft, this.members.size)) {
      this.close('enough nodes had answered');
    } else if (accepted + waiting + recording < this.needed()) {
      this.tryAgain(
        `${accepted} of ${this.members.size} nodes answered, ${this.needed()} needed (${reasonsOf(this.members.values())})`,
      );
    }
  }

  private close(reason: string): void {
    const late = [...this.members.values()].filter((member) => member.state === 'waiting');
    for (const member of late) this.move(member.taskId, ['waiting'], 'dropped', '', reason);
    this.draft.stage = 'closing';
    this.draft.closedAt = this.now;
    this.save();
    this.withdraw(late);
    this.advance();
  }

  private tryAgain(reason: string, again = true): void {
    const { attempt, rules } = this.draft;
    if (!again || attempt >= rules.tries || (rules.masked && attempt >= MOST_ATTEMPTS)) {
      const given = `${phaseName(this.draft)} got no further: ${reason}${attempt > 1 ? `, after ${attempt} tries` : ''}`;
      this.abandon(reason, () => {
        this.release(reason);
        this.end(rules.optional ? 'skipped' : 'failed', given);
      });
      return;
    }
    this.abandon(reason, () => {
      this.log(`${reason}; trying again with a new cohort`);
      this.release(reason);
      this.endMasked(reason);
      this.effects.push({ do: 'discard' });
    });
    this.draft.masking = undefined;
    this.draft.flower = undefined;
    this.draft.attempt = attempt + 1;
    this.draft.stage = 'selecting';
    // messages are named by their content: those of this try must not be taken for those of the one before
    this.draft.openedAt = this.now === this.draft.dispatchedAt ? this.now + 1 : this.now;
    this.draft.dispatchedAt = null;
    this.draft.closedAt = null;
    this.draft.reservationId = undefined;
    this.setMembers([]);
  }

  private abandon(reason: string, then: () => void): void {
    const open = [...this.members.values()].filter(isOpen);
    for (const member of open) this.move(member.taskId, ['waiting', 'recording'], 'dropped', '', reason);
    this.save();
    this.withdraw(open);
    then();
  }

  private end(end: RoundEnd, reason: string): void {
    this.draft.stage = 'ended';
    this.draft.ended = { end, reason };
    // a sum that was opened is ended once its model is in the run's record: until then it may have to be opened again
    if (end !== 'completed') this.endMasked(reason || end);
    this.endAgain();
  }

  /** A crash may have come between the end and the run's word for it: it is not begun anew for that. */
  private endAgain(): void {
    if (this.draft.ended !== null) this.effects.push({ do: 'end', ...this.draft.ended });
  }

  /**
   * Before the answers are put together nothing of them can have left. After that, what is reserved stays spent. A sum may have been opened by
   * an owner before this one, as soon as the round was closed.
   */
  private release(reason: string): void {
    const { reservationId, stage, masking, closedAt } = this.draft;
    if (reservationId === undefined || stage === 'finishing' || (masking !== undefined && closedAt !== null)) return;
    this.effects.push({ do: 'release', reservationId, reason });
  }

  private endMasked(reason: string): void {
    const { masking } = this.draft;
    if (masking !== undefined) this.effects.push({ do: 'end-masked', masking, reason });
  }

  private hands(): MaskedHands {
    return {
      draft: this.draft,
      effects: this.effects,
      leaveOut: (tasks) => {
        for (const taskId of tasks) if (this.members.delete(taskId)) this.counts.waiting -= 1;
      },
      save: () => this.save(),
      dispatch: () => {
        this.dispatch();
        this.advance();
      },
      tryAgain: (reason, again) => this.tryAgain(reason, again),
    };
  }

  private needed(): number {
    return neededOf(this.draft, this.members.size);
  }

  private mayClose(answers: number): boolean {
    return mayClose(this.draft, this.members.size, answers);
  }

  private move(taskId: string, from: readonly MemberState[], to: MemberState, code = '', reason = ''): void {
    const member = this.members.get(taskId);
    if (member === undefined || !from.includes(member.state)) return;
    this.counts[member.state] -= 1;
    this.counts[to] += 1;
    this.members.set(taskId, { ...member, state: to, code, reason });
  }

  private withdraw(tasks: readonly Member[]): void {
    if (tasks.length > 0) this.effects.push({ do: 'withdraw', tasks });
  }

  private save(): void {
    this.effects.push({ do: 'save' });
  }

  private wake(): void {
    const at = deadlineOf(this.result());
    if (at !== null) this.effects.push({ do: 'wake', at });
  }

  private log(line: string): void {
    this.effects.push({ do: 'log', line: `${phaseName(this.draft)}: ${line}` });
  }

  /** What it says of single nodes nobody may read where the cohort is secret. */
  private logOf(line: string): void {
    if (!hidesCohort(this.draft.rules.privacy)) this.log(line);
  }
}
