import { AegisError } from '@aegis/errors';

/** The noise of a run's trees, in memory: what the core makes from a secret is drawn here when it is first asked for, and kept. */
export class MemoryTreeNoise {
  private readonly normal: () => number;
  /** By tree and node, element by element. */
  private readonly nodes = new Map<string, number[]>();
  /** By tree and leaf: the room whose sum its noise went into. */
  private readonly uses = new Map<string, string>();

  constructor(normal: () => number) {
    this.normal = normal;
  }

  /** Of a leaf, less that of the leaf before: N(0, 1) for each node that comes or goes, element by element. */
  of({ tree, leaf }: { readonly tree: number; readonly leaf: number }, room: string): (element: number) => number {
    if (this.nodes.size === 0 && (tree !== 0 || leaf !== 1)) throw new AegisError('PRIVACY_NOISE_LOST');
    const used = this.uses.get(`${tree}/${leaf}`) ?? room;
    if (used !== room) throw new AegisError('PRIVACY_NOISE_USED', `Tree ${tree}, leaf ${leaf}.`);
    this.uses.set(`${tree}/${leaf}`, room);
    const level = Math.log2(leaf & -leaf);
    const comes = this.node(`${tree}/${level}/${leaf >> level}`);
    const goes = Array.from({ length: level }, (_, below) => this.node(`${tree}/${below}/${(leaf - 1) >> below}`));
    return (element) => goes.reduce((noise, node) => noise - node(element), comes(element));
  }

  private node(name: string): (element: number) => number {
    const drawn = this.nodes.get(name) ?? [];
    this.nodes.set(name, drawn);
    return (element) => {
      while (drawn.length <= element) drawn.push(this.normal());
      return drawn[element] as number;
    };
  }
}
