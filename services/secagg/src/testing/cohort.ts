import { createHash, createPrivateKey, randomBytes } from 'node:crypto';
import { chooseParameters, Grid, MaskedSum, SecaggClient, SigningKey, type Terms } from '@aegis/core-native/secagg';
import { createRoot, issueCertificate, openSigningCertificate, readRoots } from '@aegis/service-kit';

const YEAR = 365;
const TENSOR = 6;

/** The federation of a test: its root, and signing certificates by name. */
export class Federation {
  readonly rootPem: string;
  readonly #root: Awaited<ReturnType<typeof createRoot>>;
  readonly #now: number;
  readonly #opened = new Map<string, ReturnType<typeof openSigningCertificate>>();
  readonly #identities = new Map<string, { certificate: string; key: SigningKey }>();

  private constructor(root: Awaited<ReturnType<typeof createRoot>>, now: number) {
    this.#root = root;
    this.rootPem = root.certPem;
    this.#now = now;
  }

  static async create(now = Date.now()): Promise<Federation> {
    return new Federation(await createRoot('hospitals', 3653, now - 1_000), now);
  }

  /** As guards check certificates. */
  readonly openCertificate = (pem: string) => {
    const known = this.#opened.get(pem) ?? openSigningCertificate(pem, readRoots(this.rootPem), Date.now());
    this.#opened.set(pem, known);
    return known;
  };

  async identity(name: string): Promise<{ certificate: string; key: SigningKey }> {
    const known = this.#identities.get(name);
    if (known) return known;
    const { certPem, keyPem } = await issueCertificate(this.#root, { kind: 'signing', name, days: YEAR }, this.#now);
    const der = createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' });
    const identity = { certificate: certPem, key: SigningKey.fromPkcs8(der) };
    this.#identities.set(name, identity);
    return identity;
  }
}

export interface Plan {
  readonly terms: Terms;
  readonly cohort: number;
  readonly colluders: number;
  readonly modelId: string;
  readonly grid: Grid;
}

/** Terms as the aggregator makes them. */
export const planOf = async (
  count: number,
  { dropouts = 0.3, colluders = 0, run = '7', round = '1', complete = true } = {},
): Promise<Plan> => {
  const grid = Grid.create([{ name: 'w', dtype: '<f8', shape: [TENSOR] }], { clip: 32, valueBits: 16, weightMax: 1 });
  const { degree, threshold, min_survivors } = await chooseParameters(count, { dropouts, colluders }, { complete });
  const terms: Terms = {
    ...{ run, round, plan: randomBytes(32).toString('hex'), degree, threshold, minSurvivors: min_survivors },
    ...{ bits: grid.modulus(count).bits, length: String(grid.length) },
  };
  const modelId = createHash('sha256').update('the model').digest('hex');
  return { terms, cohort: count, colluders, modelId, grid };
};

/** One node with the core's own state machine, as a guard runs it. */
export class TestNode {
  readonly id: string;
  taskId: string;
  readonly value: number;
  readonly certificate: string;
  readonly #key: SigningKey;
  readonly #plan: Plan;
  readonly #client: SecaggClient;
  /** Its answers, kept as a guard's journal keeps them. */
  readonly said = new Map<string, Buffer>();
  /** The stage it answered last. */
  lastStage: string | undefined;

  constructor(id: string, value: number, identity: { certificate: string; key: SigningKey }, plan: Plan, now: number) {
    this.id = id;
    this.taskId = `task-${plan.terms.run}-${plan.terms.round}-${id}`;
    this.value = value;
    this.certificate = identity.certificate;
    this.#key = identity.key;
    this.#plan = plan;
    const floors = { cohort: 2, survivors: 2, colluders: plan.colluders };
    const expires = Math.floor(now / 1000) + 86_400;
    this.#client = SecaggClient.advertise(id, plan.terms, floors, identity.key, expires);
  }

  get ended(): string | undefined {
    return this.#client.ended;
  }

  advert(): Buffer {
    return this.#say('advertise', { advert: this.#client.advert, certificate: this.certificate });
  }

  /** Opens certificates as a guard does. */
  async share(request: Buffer, openCertificate: (pem: string) => { subject: string; keyPem: string }): Promise<Buffer> {
    const { terms, adverts } = JSON.parse(request.toString());
    const certified = adverts.map(({ advert, certificate }: { advert: never; certificate: string }) => {
      const { subject, keyPem } = openCertificate(certificate);
      return { advert, subject, signingKey: keyPem };
    });
    return this.#say(
      'share',
      await this.#client.shareKeys({ terms, adverts: certified }, Math.floor(Date.now() / 1000)),
    );
  }

  /** The masked vector, which goes to the aggregator. */
  async mask(request: Buffer): Promise<Buffer> {
    const tensors = [new Uint8Array(new Float64Array(TENSOR).fill(this.value).buffer)];
    const delivery = { ...JSON.parse(request.toString()), model: this.#plan.modelId };
    return this.#client.maskInput(delivery, this.#plan.grid, { tensors });
  }

  async confirm(request: Buffer): Promise<Buffer> {
    return this.#say('confirm', await this.#client.confirmSurvivors(JSON.parse(request.toString()), this.#key));
  }

  async unmask(request: Buffer): Promise<Buffer> {
    return this.#say('unmask', await this.#client.unmask(JSON.parse(request.toString())));
  }

  #say(stage: string, answer: unknown): Buffer {
    const known = this.said.get(stage);
    if (known) return known;
    const bytes = Buffer.from(JSON.stringify(answer));
    this.said.set(stage, bytes);
    return bytes;
  }
}

/** What the aggregator makes of vectors and the total mask. Throws where the sum is not that of honest vectors. */
export const openSum = async (plan: Plan, vectors: readonly Buffer[], totalMask: Buffer): Promise<number> => {
  const sum = MaskedSum.create(plan.terms);
  for (const vector of vectors) await sum.add(vector);
  const opened = await sum.open(plan.grid, vectors.length, totalMask);
  return opened.tensor(0).readDoubleLE(0) * opened.weight;
};
