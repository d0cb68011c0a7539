import {
  AllowancesSpent,
  Presence,
  PresenceAsk,
  RunChanged,
  TaskConfirmed,
} from '@aegis/contracts/aegis/events/v1/task';

// Every event of the suite: its subject and its schema.

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}
interface Subject<T> {
  readonly subject: string;
  readonly codec: Codec<T>;
}
const subject = <T>(name: string, codec: Codec<T>): Subject<T> => ({ subject: `aegis.events.${name}`, codec });

export const subjects = {
  presence: subject('presence', Presence),
  'presence-ask': subject('presence-ask', PresenceAsk),
  'task-confirmed': subject('task-confirmed', TaskConfirmed),
  'run-changed': subject('run-changed', RunChanged),
  'allowances-spent': subject('allowances-spent', AllowancesSpent),
} as const;

export type SubjectName = keyof typeof subjects;
export type SubjectMessages = {
  [S in SubjectName]: (typeof subjects)[S] extends Subject<infer T> ? T : never;
};
