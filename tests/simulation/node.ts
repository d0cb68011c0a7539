import { AegisError } from '@aegis/errors';
import type { MessageOffer, NodeCredential } from '@aegis/flower-wire';
import type { FlowerFleet } from '../../services/gateway/src/api/flower/fleet.ts';
import { failureOf, idsBelow, readTask, replyOf } from '../../services/gateway/src/testing/flower-reply.ts';
import type { Reply } from '../../services/gateway/src/testing/messages.ts';
import { floatsOf } from '../../services/gateway/src/testing/npy.ts';
import type { GatewayProcess } from './gateway.ts';
import { learn } from './learning.ts';
import { Life } from './life.ts';
import { NodeLink } from './link.ts';
import type { Manner } from './operations.ts';
import { examples, firstModel, legacyRecords, messageRecords } from './records.ts';
import type { Witness } from './witness.ts';
import type { World } from './world.ts';

const HEARTBEAT_SECONDS = 30;
const RETRY_MS = 1_000;
const FAILURE_CODE = 3;

/** One task in the node's hands. */
interface Work {
  readonly offer: MessageOffer;
  readonly taskId: string;
  readonly kind: string;
  manner: Manner;
  reply: Reply | null;
  /** What it would count for, by the node's own word. */
  content: string;
  /** How far its delivery has come. Whoever tries anew counts nothing that a call before it may still do. */
  delivery: Delivery;
}

interface Delivery {
  /** Parts still to be sent; null: not announced. */
  wanted: string[] | null;
  session: string;
}

/** A client as far as a server can tell: it pulls, trains, announces and pushes; what it was told is told to the witness. */
export class SimulatedNode {
  readonly index: number;
  nodeId = 0n;
  isOn = false;
  readonly link: NodeLink;
  private readonly world: World;
  private readonly witness: Witness;
  private life: Life;
  private lives = 0;
  /** Its last call did not go well. */
  private failed = false;
  private isRetired = false;
  private joined = false;
  private hanging = new AbortController();
  private pulling = false;
  private readonly works = new Map<string, Work>();
  /** The last answer it finished, for whoever sends it twice. */
  private finished: Work | null = null;

  constructor(world: World, index: number) {
    this.world = world;
    this.witness = world.witness;
    this.index = index;
    this.life = new Life(`node ${index}`, world.clock, world.site.onBusyLoop);
    this.link = new NodeLink(world, index);
  }

  /** Comes to work, for the first time or again. */
  async join(): Promise<void> {
    if (!this.isOn) this.powerOn();
    await this.quietly(async () => {
      await this.call((fleet, who) => fleet.register(who, this.link.publicKey));
      this.nodeId = await this.call((fleet, who) => fleet.activate(who, this.link.publicKey, HEARTBEAT_SECONDS));
      this.witness.met(this.nodeId, this.index);
      this.joined = true;
    });
  }

  async leave(unregister: boolean): Promise<void> {
    if (!this.joined) return;
    await this.quietly(async () => {
      await this.call((fleet, who) => fleet.deactivate(who, this.nodeId));
      if (unregister) await this.call((fleet, who) => fleet.unregister(who, this.nodeId));
    });
    this.powerOff(true);
  }

  /** Its power goes: what it had in memory is lost. `heard`: its connections close, as when only the process dies. */
  powerOff(heard: boolean): void {
    if (heard) this.hanging.abort(new AegisError('UNAVAILABLE', 'The caller has gone.'));
    this.isOn = false;
    this.joined = false;
    this.works.clear();
    this.finished = null;
    this.life.kill();
  }

  /** Asks for work unless it waits for some already. */
  async pull(): Promise<void> {
    if (!this.joined || this.pulling) return;
    this.pulling = true;
    const { life, hanging } = this;
    try {
      await this.quietly(async () => {
        const offer = await this.call((fleet, who) => fleet.pullTask(who, this.nodeId, hanging.signal));
        if (offer === null || life.isDead) return;
        const from = this.link.answeredBy as GatewayProcess;
        const taskId = from.mailbox.lastOffered(this.nodeId) ?? '';
        const kind = this.witness.offered(from, this.nodeId, taskId);
        if (this.works.has(offer.head.messageId)) return;
        const work: Work = {
          offer,
          taskId,
          kind,
          manner: 'honest',
          reply: null,
          content: '',
          delivery: notAnnounced(),
        };
        this.works.set(offer.head.messageId, work);
      });
    } finally {
      if (this.life === life) this.pulling = false;
    }
  }

  /** Carries its oldest task one call further, or to the end. */
  async answer(manner: Manner, how: 'one-step' | 'in-order' | 'all-at-once'): Promise<void> {
    const [work] = this.works.values();
    if (work === undefined) return;
    if (work.reply === null) work.manner = manner;
    if (how !== 'one-step') work.delivery = notAnnounced();
    await this.quietly(() => this.carry(work, how), work);
  }

  /** Says the last finished answer all over again; `differently`: another answer to the same task. */
  async repeat(differently: boolean): Promise<void> {
    if (this.finished === null) return;
    const work = { ...this.finished, delivery: notAnnounced() };
    if (differently) {
      work.manner = 'other';
      work.reply = null;
    }
    await this.quietly(() => this.carry(work, 'in-order'), work);
  }

  /** Announces an answer to somebody else's task. */
  async intrude(other: SimulatedNode): Promise<void> {
    const [work] = other.works.values();
    if (work === undefined || !this.joined || other === this) return;
    await this.quietly(async () => {
      const offer = work.offer;
      const reply = replyOf(this.nodeId, offer, { metrics: { metrics: [examples(1)] } }, 1);
      await this.call((fleet, who) => fleet.announce(who, this.nodeId, reply.head, reply.tree, 0.5));
      this.witness.fail('own tasks only', `node ${this.index} may answer ${work.taskId}`);
    });
  }

  heartbeat(): Promise<void> {
    if (!this.joined) return Promise.resolve();
    return this.quietly(async () => {
      const isKnown = await this.call((fleet, who) => fleet.heartbeat(who, this.nodeId, HEARTBEAT_SECONDS));
      if (!isKnown) this.joined = false;
    });
  }

  /** Its power goes for good. */
  retire(): void {
    this.isRetired = true;
    this.powerOff(false);
  }

  /** From here on it does what a well-behaved node does, all the time. */
  async behave(): Promise<void> {
    while (!this.isRetired) {
      const hadWork = this.works.size > 0;
      const step = this.nextStep();
      // what a life began that ended meanwhile never comes to its end
      await Promise.race([step, new Promise<void>((resolve) => this.life.whenDead(resolve))]);
      const hasWork = this.works.size > 0;
      if (this.failed || hasWork === hadWork) await this.world.clock.sleep(RETRY_MS);
      this.failed = false;
    }
  }

  private nextStep(): Promise<void> {
    if (!this.joined) return this.join();
    return this.works.size > 0 ? this.answer('honest', 'in-order') : this.pull();
  }

  private async carry(work: Work, how: 'one-step' | 'in-order' | 'all-at-once'): Promise<void> {
    const { delivery } = work;
    const reply = await this.replyTo(work);
    const isOurs = (): boolean => work.delivery === delivery;
    if (delivery.wanted === null) {
      const { wanted, session } = await this.call((fleet, who) =>
        fleet.announce(who, this.nodeId, reply.head, reply.tree, 0.5),
      );
      if (!isOurs()) return;
      Object.assign(delivery, { wanted, session });
      if (wanted.length === 0) return this.told(work, reply.head.error === null ? 'accepted' : 'failed');
      if (how === 'one-step') return;
    }
    const left = delivery.wanted as unknown as string[];
    const push = async (part: string): Promise<boolean> => {
      const content = Buffer.from(reply.objects.get(part) ?? '');
      const { runId } = reply.head;
      const stored = await this.call((fleet, who) =>
        fleet.pushObject(who, this.nodeId, runId, part, content, delivery.session),
      );
      if (left.includes(part)) left.splice(left.indexOf(part), 1);
      return stored;
    };
    const refused: boolean[] = [];
    if (how === 'all-at-once') {
      const outcomes = await Promise.allSettled([...left].reverse().map(push));
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') throw outcome.reason;
        refused.push(!outcome.value);
      }
    } else {
      do refused.push(!(await push(left[0] as string)));
      while (isOurs() && how === 'in-order' && left.length > 0 && !refused.includes(true));
    }
    if (!isOurs()) return;
    if (refused.includes(true)) this.told(work, 'refused');
    else if (left.length === 0) this.told(work, 'accepted');
  }

  /** Once made, a reply stays as it is. */
  private async replyTo(work: Work): Promise<Reply> {
    if (work.reply !== null) return work.reply;
    const { reply, content } = await this.train(work);
    if (work.reply === null) Object.assign(work, { reply, content });
    return work.reply as unknown as Reply;
  }

  private async train(work: Work): Promise<{ reply: Reply; content: string }> {
    const { offer, manner, taskId, kind } = work;
    const createdAt = this.world.clock.monotonic() / 1000;
    if (manner === 'fail') {
      const reply = failureOf(this.nodeId, offer, FAILURE_CODE, 'The app failed.', createdAt);
      return { reply, content: 'failure' };
    }
    const objects = new Map<string, Buffer>();
    for (const id of idsBelow(offer.tree)) {
      const answer = await this.call((fleet, who) => fleet.pullObject(who, this.nodeId, offer.head.runId, id));
      if (answer.state !== 'found') throw new AegisError('TASK_NOT_FOUND', 'Its objects are gone.');
      objects.set(id, Buffer.concat(answer.pieces));
    }
    await this.call((fleet, who) => fleet.confirm(who, this.nodeId, offer.head.runId, offer.head.messageId));
    const received = [...readTask(offer.tree.id, objects).arrays].map(([name, npy]) => [name, floatsOf(npy)] as const);
    const model = new Map(kind === 'initial-model' ? firstModel : received);
    const update = learn(kind, this.index, model, manner);
    const content = JSON.stringify([...update.arrays, update.weight, ...(manner === 'shape' ? [manner] : [])]);
    this.witness.learned(taskId, this.index, content, manner, update, model);
    const records = offer.head.groupId === '' && kind !== 'initial-model' ? messageRecords : legacyRecords;
    return { content, reply: replyOf(this.nodeId, offer, records(kind, this.index, manner, update), createdAt) };
  }

  private told(work: Work, verdict: 'accepted' | 'refused' | 'failed' | 'over', code = ''): void {
    this.works.delete(work.offer.head.messageId);
    if (verdict !== 'over') this.finished = work;
    this.witness.toldTo(this.link.answeredBy, work.taskId, this.index, work.content, verdict, code);
  }

  /** What a client makes of an error: try again later, give the task up, or come anew. */
  private async quietly(work: () => Promise<void>, on?: Work): Promise<void> {
    const { life } = this;
    const delivery = on?.delivery;
    try {
      await work();
    } catch (caught) {
      if (life.isDead) return;
      this.failed = true;
      const { code, entry, message, cause } = AegisError.from(caught);
      if (entry.kind === 'internal') {
        const why = cause instanceof Error ? cause.stack : String(cause);
        return this.witness.fail('no internal errors', `node ${this.index} was told ${code}: ${message} ${why}`);
      }
      if (code === 'NODE_KEY_UNKNOWN' || code === 'NODE_IDENTITY') this.joined = false;
      if (on === undefined || on.delivery !== delivery) return;
      if (entry.kind === 'unavailable' || entry.kind === 'unauthenticated' || code === 'PART_NOT_ANNOUNCED')
        on.delivery = notAnnounced();
      else if (entry.kind === 'invalid') this.told(on, 'refused', code);
      else this.told(on, 'over', code);
    }
  }

  private call<T>(work: (fleet: FlowerFleet, who: NodeCredential) => Promise<T>): Promise<T> {
    return this.link.call(this.life, work);
  }

  private powerOn(): void {
    this.lives += 1;
    this.life = new Life(`node ${this.index}#${this.lives}`, this.world.clock, this.world.site.onBusyLoop);
    this.isOn = true;
    this.pulling = false;
    this.hanging = new AbortController();
    this.beat(this.life);
  }

  private beat(life: Life): void {
    life.time.schedule(HEARTBEAT_SECONDS * 1000, () => {
      void this.heartbeat();
      this.beat(life);
    });
  }
}

const notAnnounced = (): Delivery => ({ wanted: null, session: '' });
