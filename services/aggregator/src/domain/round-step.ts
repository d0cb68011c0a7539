// The round machine. It only decides: drawing nodes, saving, sending, folding are effects that a flow carries out; whatever comes
// back is the next input. `save` stands before every effect that the world can see: an owner whose save is refused does nothing.
import { sampleSize } from './cohort.ts';
import {
  deadlineOf,
  isOpen,
  type Member,
  type MemberState,
  type RoundEffect,
  type RoundEnd,
  type RoundInput,
  type RoundState,
} from './round.ts';

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
        if (this.draft.stage === 'selecting') this.select(input.online, input.overdue ?? new Set());
        else this.dropOffline(input.online);
        break;
      case 'drawn':
        this.drawn(input);
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
        this.abandon('the run was stopped', () => this.end('stopped', ''));
        break;
    }
  }

  private select(online: ReadonlySet<bigint>, overdue: ReadonlySet<bigint>): void {
    const able = [...online].filter((node) => !overdue.has(node));
    const sample = sampleSize(able.length, this.draft.rules.sampling);
    if (sample.kind === 'draw') {
      if (sample.size === 0) this.end('skipped', 'no node was to be selected');
      else this.effects.push({ do: 'draw', from: able.sort(compare), size: sample.size, wanted: sample.wanted });
      return;
    }
    if (this.draft.waitingFor !== sample.needed) {
      this.draft.waitingFor = sample.needed;
      const silent = online.size - able.length;
      const without = silent === 0 ? '' : ` (and ${silent} that did not answer their last task)`;
      this.log(`waiting for nodes: ${able.length} online${without}, ${sample.needed} needed`);
    }
    this.wake();
  }

  private drawn(input: RoundInput & { type: 'drawn' }): void {
    if (this.draft.stage !== 'selecting') return;
    this.draft.stage = 'collecting';
    this.draft.dispatchedAt = Math.max(this.now, this.draft.openedAt);
    this.draft.wanted = input.wanted;
    this.draft.waitingFor = 0;
    this.draft.traceparent = input.traceparent;
    for (const { nodeId, taskId } of input.tasks) {
      this.members.set(taskId, { nodeId, taskId, state: 'waiting', code: '', reason: '' });
      this.counts.waiting += 1;
    }
    this.save();
    this.effects.push({ do: 'dispatch', tasks: [...this.members.values()] });
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
    this.log(`node ${before.nodeId} ${input.type}: ${input.reason}`);
    this.advance();
  }

  private dropOffline(online: ReadonlySet<bigint>): void {
    if (this.draft.stage !== 'collecting') return;
    const gone = [...this.members.values()].filter(
      (member) => member.state === 'waiting' && !online.has(member.nodeId),
    );
    if (gone.length === 0) return;
    for (const member of gone) this.move(member.taskId, ['waiting'], 'dropped', '', 'the node went offline');
    this.save();
    this.withdraw(gone);
    this.log(
      gone.length === 1
        ? `node ${gone[0]?.nodeId} dropped: it went offline`
        : `${gone.length} nodes dropped: they went offline`,
    );
    this.advance();
  }

  private notRecorded(taskId: string): void {
    const open = this.draft.stage === 'collecting';
    this.move(taskId, ['recording'], open ? 'waiting' : 'dropped', '', open ? '' : 'its answer could not be written');
    this.advance();
  }

  private tick(): void {
    const deadline = deadlineOf(this.result());
    if (deadline === null) return;
    const { deadlineSeconds } = this.draft.rules;
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
    if (this.counts.accepted + this.counts.recording >= this.needed()) {
      // what is being written now may still make it enough
      this.close(`no answer within ${deadlineSeconds} s`);
    } else {
      this.tryAgain(`${this.counts.accepted} of the ${this.needed()} answers needed came within ${deadlineSeconds} s`);
    }
  }

  private resumed(recorded: ReadonlySet<string>): void {
    if (this.draft.stage === 'selecting') {
      this.wake();
      return;
    }
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
      if (accepted >= this.needed()) {
        this.draft.stage = 'finishing';
        this.effects.push({ do: 'finish' });
      } else {
        this.tryAgain(`${accepted} of the ${this.needed()} answers needed could be counted`);
      }
    }
    if (stage !== 'collecting') return;
    if (waiting === 0 && recording === 0 && accepted >= this.needed()) {
      this.close('');
    } else if (accepted >= this.enough()) {
      this.close('enough nodes had answered');
    } else if (accepted + waiting + recording < this.needed()) {
      this.tryAgain(`${accepted} of ${this.members.size} nodes answered, ${this.needed()} needed (${this.reasons()})`);
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

  private tryAgain(reason: string): void {
    const { attempt, rules } = this.draft;
    if (attempt >= rules.tries) {
      const given = `${this.phase()} got no further: ${reason}${attempt > 1 ? `, after ${attempt} tries` : ''}`;
      this.abandon(reason, () => this.end(rules.optional ? 'skipped' : 'failed', given));
      return;
    }
    this.abandon(reason, () => {
      this.log(`${reason}; trying again with a new cohort`);
      this.effects.push({ do: 'discard' });
    });
    this.draft.attempt = attempt + 1;
    this.draft.stage = 'selecting';
    // messages are named by their content: those of this try must not be taken for those of the one before
    this.draft.openedAt = this.now === this.draft.dispatchedAt ? this.now + 1 : this.now;
    this.draft.dispatchedAt = null;
    this.draft.closedAt = null;
    this.members.clear();
    for (const state of Object.keys(this.counts) as MemberState[]) this.counts[state] = 0;
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
    this.endAgain();
  }

  /** A crash may have come between the end and the run's word for it: it is not begun anew for that. */
  private endAgain(): void {
    if (this.draft.ended !== null) this.effects.push({ do: 'end', ...this.draft.ended });
  }

  /** Fewer answers than this are not put together. An evaluation takes what it gets. */
  private needed(): number {
    const { kind, rules } = this.draft;
    if (rules.minReport !== null || kind === 'evaluate') return rules.minReport ?? 1;
    return Math.max(Math.min(rules.sampling.minNodes, this.members.size), 1);
  }

  /** This many close the round before everybody has answered. Who asks more nodes than wanted does not wait for all of them. */
  private enough(): number {
    const { minReport, sampling } = this.draft.rules;
    return minReport ?? (sampling.overSelect > 1 ? Math.max(this.draft.wanted, 1) : this.members.size);
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
    this.effects.push({ do: 'log', line: `${this.phase()}: ${line}` });
  }

  private phase(): string {
    const { kind, round, rounds } = this.draft;
    return kind === 'initial-model' ? 'initial model' : `round ${round}/${rounds}, ${kind}`;
  }

  private reasons(): string {
    const reasons = new Map<string, number>();
    for (const { state, reason } of this.members.values()) {
      if (state === 'accepted' || reason === '') continue;
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    const shown = [...reasons].slice(0, 3).map(([reason, count]) => (count > 1 ? `${count} × ${reason}` : reason));
    return shown.join('; ') || 'no reason given';
  }
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
