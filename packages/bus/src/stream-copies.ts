import { AegisError } from '@aegis/errors';
import { createInbox, type Msg } from '@nats-io/transport-node';
import type { BucketName } from './buckets.ts';
import type { BusOptions } from './connect.ts';
import { openBusLink } from './connect.ts';
import type { Link } from './link.ts';
import { isTombstone } from './watch.ts';

/** What the server wants to have again with a stream's bytes. */
export interface StreamHead {
  readonly name: string;
  /** NATS's account that it is in. */
  readonly account: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly state: Readonly<Record<string, unknown>>;
}

/**
 * Whole streams of NATS, as its own snapshots have them: every message under its number, so that compare-and-set and the chains go on where they were. A
 * snapshot is of one moment. What comes out is not encrypted.
 */
export interface StreamCopies {
  /** Of NATS, that can be reached. */
  readonly accounts: readonly string[];
  /** Of all of them; CONFIG_INVALID when two accounts have a stream of one name. */
  names(): Promise<string[]>;
  /** Keys of a bucket that have a value; none where there is no such bucket. */
  keys(bucket: BucketName): Promise<string[]>;
  /** Number of the newest message; grows with every write. */
  lastSequence(name: string): Promise<number>;
  /** `piece` gets the bytes in order; the next piece comes when it has resolved. */
  save(name: string, piece: (bytes: Buffer) => Promise<void>): Promise<StreamHead>;
  /** A stream that is not there yet, into its account. */
  restore(head: StreamHead, pieces: AsyncIterable<Uint8Array>): Promise<void>;
  close(): Promise<void>;
}

const CHUNK_BYTES = 128 * 1024;
const ANSWER_MS = 60_000;
const OTHER_ERROR = 400;

/** `ways`: one for each account whose streams count. */
export const openStreamCopies = async (...ways: readonly BusOptions[]): Promise<StreamCopies> => {
  const links: Link[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(links.map((link) => link.close()));
  };
  try {
    for (const way of ways) links.push(await openBusLink(way));
    const byAccount = new Map<string, Link>();
    for (const link of links) byAccount.set(await accountOf(link), link);
    if (byAccount.size < links.length)
      throw new AegisError(
        'CONFIG_INVALID',
        `Two ways lead to the same account of NATS: ${[...byAccount.keys()].join(', ')}.`,
      );
    return { ...copiesOf(byAccount), close };
  } catch (error) {
    await close();
    throw error;
  }
};

const copiesOf = (byAccount: ReadonlyMap<string, Link>): Omit<StreamCopies, 'close'> => {
  /** Which account has which stream. */
  const whereIs = async (): Promise<Map<string, string>> => {
    const found = new Map<string, string>();
    for (const [account, link] of byAccount)
      for (const name of await namesIn(link)) {
        if (found.has(name))
          throw new AegisError(
            'CONFIG_INVALID',
            `Both ${found.get(name)} and ${account} of NATS have a stream ${name}.`,
          );
        found.set(name, account);
      }
    return found;
  };
  const linkTo = (name: string, account: string | undefined): Link => {
    const link = byAccount.get(account ?? '');
    if (link === undefined)
      throw broken(name, account === undefined ? 'there is none' : `no way to the account ${account}`);
    return link;
  };
  return {
    accounts: [...byAccount.keys()],
    names: async () => [...(await whereIs()).keys()].sort(),
    keys: async (bucket) => {
      const stream = `KV_${bucket}`;
      const account = (await whereIs()).get(stream);
      return account === undefined ? [] : livingKeys(linkTo(stream, account), stream, `$KV.${bucket}.`);
    },
    lastSequence: async (name) => {
      const link = linkTo(name, (await whereIs()).get(name));
      return (await link.manager.streams.info(name)).state.last_seq;
    },
    save: async (name, piece) => {
      const account = (await whereIs()).get(name);
      return { ...(await save(linkTo(name, account), name, piece)), account: account ?? '' };
    },
    restore: (head, pieces) => restore(linkTo(head.name, head.account), head, pieces),
  };
};

/** Of a cluster that has just started nobody answers before it has a leader. */
const namesIn = (link: Link): Promise<string[]> =>
  link.call('the list of streams', async () => {
    const names: string[] = [];
    for await (const name of link.manager.streams.names()) names.push(name);
    return names;
  });

/** Without a consumer and without opening the bucket, either of which is a write. */
async function livingKeys({ manager }: Link, stream: string, prefix: string): Promise<string[]> {
  const { state } = await manager.streams.info(stream, { subjects_filter: `${prefix}>` });
  const keys: string[] = [];
  for (const subject of Object.keys(state.subjects ?? {})) {
    const newest = await manager.streams.getMessage(stream, { last_by_subj: subject });
    if (newest !== null && !isTombstone(newest.header)) keys.push(subject.slice(prefix.length));
  }
  return keys.sort();
}

/** As the server tells its users. */
const accountOf = async ({ connection }: Link): Promise<string> => {
  const answer = await connection.request('$SYS.REQ.USER.INFO', '', { timeout: ANSWER_MS });
  const { data } = answer.json<{ data?: { account?: string } }>();
  return data?.account ?? '';
};

interface Answer {
  readonly error?: { readonly description?: string };
  readonly config?: StreamHead['config'];
  readonly state?: StreamHead['state'];
  readonly deliver_subject?: string;
}

async function save(
  link: Link,
  name: string,
  piece: (bytes: Buffer) => Promise<void>,
): Promise<Omit<StreamHead, 'account'>> {
  const { connection } = link;
  const inbox = createInbox();
  const messages = connection.subscribe(inbox);
  const quiet = setTimeout(() => messages.unsubscribe(), ANSWER_MS);
  try {
    const asked = { deliver_subject: inbox, no_consumers: true, chunk_size: CHUNK_BYTES };
    const { config, state } = await ask(link, `SNAPSHOT.${name}`, asked);
    if (config === undefined || state === undefined) throw broken(name, 'no description came');
    for await (const message of messages) {
      quiet.refresh();
      // the end: an empty message, with the reason when it is not a good one
      if (message.data.length === 0) {
        if ((message.headers?.code ?? 0) >= OTHER_ERROR) throw broken(name, message.headers?.description ?? '');
        return { name, config, state };
      }
      await piece(Buffer.from(message.data));
      message.respond();
    }
    throw broken(name, 'it broke off');
  } finally {
    clearTimeout(quiet);
    messages.unsubscribe();
  }
}

async function restore(
  link: Link,
  { name, config, state }: Omit<StreamHead, 'account'>,
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { deliver_subject: to } = await ask(link, `RESTORE.${name}`, { config, state });
  if (to === undefined) throw broken(name, 'the server takes no bytes');
  const send = (bytes: Uint8Array): Promise<Msg> => link.connection.request(to, bytes, { timeout: ANSWER_MS });
  for await (const bytes of pieces)
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const { data } = await send(bytes.subarray(at, at + CHUNK_BYTES));
      if (data.length > 0) checked(name, data);
    }
  checked(name, (await send(new Uint8Array())).data);
}

async function ask(link: Link, what: string, body: object): Promise<Answer> {
  const { data } = await link.connection.request(`$JS.API.STREAM.${what}`, JSON.stringify(body), {
    timeout: ANSWER_MS,
  });
  return checked(what, data);
}

function checked(what: string, data: Uint8Array): Answer {
  const answer = JSON.parse(Buffer.from(data).toString('utf8')) as Answer;
  if (answer.error !== undefined) throw broken(what, answer.error.description ?? '');
  return answer;
}

const broken = (name: string, why: string): AegisError =>
  new AegisError('STORE_UNAVAILABLE', `The copy of the stream ${name}: ${why}.`);
