// A V8 profile as a flame graph:
//   node bench/profiles/flame.ts FILE.cpuprofile OUT.svg --title TEXT [--after SECONDS] [--until SECONDS]
// Widths are shares of the time in which the event loop's thread was not idle; what is narrower than 0.3 % is left out.
// Profiles come from AEGIS_BENCH_CPU_PROF=FOLDER node bench/main.ts …; --after leaves the start of the process out.
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

interface ProfileNode {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number };
  children?: number[];
}
interface Profile {
  nodes: ProfileNode[];
  samples: number[];
  /** Microseconds since the sample before. */
  timeDeltas: number[];
}
interface Frame {
  name: string;
  micros: number;
  below: Map<string, Frame>;
}

const WIDTH = 1200;
const ROW = 15;
const NARROWEST = 0.003;
const LETTER = 6.2;

const frame = (name: string): Frame => ({ name, micros: 0, below: new Map() });

/** `function file:line`, packages by name, our own files by their path in the project. */
function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const file = url.replace(/^.*\/node_modules\//, '').replace(/^.*\/(?=(?:packages|services|cli|core-native)\/)/, '');
  return `${functionName || '(anonymous)'}${file === '' ? '' : ` ${file}:${lineNumber + 1}`}`;
}

function tree(profile: Profile, after: number, until: number): Frame {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map(
    profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  );
  const stackOf = (id: number): string[] => {
    const stack: string[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const node = nodes.get(at);
      if (node !== undefined && parents.has(at)) stack.unshift(nameOf(node));
    }
    return stack;
  };
  const stacks = new Map<number, string[]>();
  const root = frame('busy');
  let now = 0;
  for (const [index, id] of profile.samples.entries()) {
    const micros = profile.timeDeltas[index] ?? 0;
    now += micros / 1e6;
    const stack = stacks.get(id) ?? stackOf(id);
    stacks.set(id, stack);
    if (now < after || now > until || stack[0] === '(idle)') continue;
    root.micros += micros;
    let at = root;
    for (const name of stack) {
      const next = at.below.get(name) ?? frame(name);
      at.below.set(name, next);
      next.micros += micros;
      at = next;
    }
  }
  return root;
}

const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

function draw(root: Frame, title: string): string {
  const boxes: string[] = [];
  let deepest = 0;
  const place = (at: Frame, left: number, depth: number): void => {
    const width = (at.micros / root.micros) * WIDTH;
    if (width < NARROWEST * WIDTH) return;
    deepest = Math.max(deepest, depth);
    const hue = at.name.includes('node:') ? 210 : /(?:packages|services|cli|core-native)\//.test(at.name) ? 25 : 130;
    const share = `${((at.micros / root.micros) * 100).toFixed(1)} %`;
    const letters = Math.floor((width - 4) / LETTER);
    const y = 30 + depth * ROW;
    boxes.push(
      `<g><title>${escaped(at.name)} ${share}</title><rect x="${left.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="hsl(${hue} 70% ${70 + (depth % 3) * 5}%)"/>${
        letters > 3
          ? `<text x="${(left + 2).toFixed(1)}" y="${y + 11}">${escaped(at.name.slice(0, letters))}</text>`
          : ''
      }</g>`,
    );
    let x = left;
    for (const next of [...at.below.values()].sort((a, b) => b.micros - a.micros)) {
      place(next, x, depth + 1);
      x += (next.micros / root.micros) * WIDTH;
    }
  };
  place(root, 0, 0);
  const height = 40 + (deepest + 1) * ROW;
  const head = `${title} — ${(root.micros / 1e6).toFixed(1)} s busy. Orange: our code, blue: Node, green: packages and the engine.`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="monospace" font-size="10"><title>${escaped(title)}</title><text x="4" y="18" font-size="12">${escaped(head)}</text>\n${boxes.join('\n')}\n</svg>\n`;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { title: { type: 'string' }, after: { type: 'string' }, until: { type: 'string' } },
});
const [from, to] = positionals;
if (from === undefined || to === undefined) throw new Error('Say which: FILE.cpuprofile OUT.svg');
const profile = JSON.parse(await readFile(from, 'utf8')) as Profile;
await writeFile(
  to,
  draw(tree(profile, Number(values.after ?? 0), Number(values.until ?? Infinity)), values.title ?? from),
);
