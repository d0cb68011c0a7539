// Every list that once broke a rule: the story it tells, and what was wrong. A new one is printed by the test or the soak that found it.
import type { List } from '../operations.ts';

const small = {
  nodes: 2,
  gateways: 1,
  aggregators: 1,
  rounds: 1,
  firstModel: 'operator',
  evaluate: false,
  minReport: null,
  minNodes: 2,
  overSelect: 1,
  deadlineSeconds: 20,
} as const;

/** The tasks of the abandoned cohort stayed: nodes were offered them before those of the new one, for as long as the run lasted. */
const crashBeforeWithdrawal: List = {
  name: 'an aggregator dies between giving a cohort up and withdrawing its tasks',
  seed: 20,
  shape: { ...small, deadlineSeconds: 5 },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 0 },
    { do: 'join', node: 1 },
    { do: 'crash-at-write', process: 'aggregator 0', n: 3, after: false },
    { do: 'advance', ms: 5_000 },
  ],
};

/** The upload of the slower announcement stayed in the gateway's memory after the task had its verdict. */
const announcedTwice: List = {
  name: 'a node announces its answer twice at the same time',
  seed: 8,
  shape: { ...small, minNodes: 1 },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 1 },
    { do: 'slow-bus', ms: 50 },
    { do: 'pull', node: 1 },
    { do: 'answer', node: 1, manner: 'honest' },
    { do: 'advance', ms: 5 },
    { do: 'push', node: 1 },
    { do: 'advance', ms: 313 },
  ],
};

/** The round had ended, the run did not say so yet: the next owner began the round anew, and threw away what was accepted in it. */
const crashInStop: List = {
  name: 'an aggregator dies while it stops a run',
  seed: 3779,
  shape: { ...small, nodes: 3, deadlineSeconds: 5 },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 0 },
    { do: 'join', node: 2 },
    { do: 'pull', node: 0 },
    { do: 'answer', node: 0, manner: 'honest' },
    { do: 'crash-at-write', process: 'aggregator 0', n: 2, after: false },
    { do: 'stop-run' },
  ],
};

/**
 * A client gave its first announcement up and made another. The first came late, and took the place of the second in the gateway, which
 * forgot the parts that had come since: all parts were taken, and nobody judged them.
 */
const lateAnnouncement: List = {
  name: 'a late announcement arrives after the parts of a later one',
  seed: 4391,
  shape: { ...small, minNodes: 1, deadlineSeconds: 5 },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 0 },
    { do: 'slow-bus', ms: 50 },
    { do: 'slow-disk', ms: 3_000 },
    { do: 'pull', node: 0 },
    { do: 'answer', node: 0, manner: 'honest' },
    { do: 'advance', ms: 125 },
    { do: 'answer', node: 0, manner: 'honest' },
  ],
};

/** Both cohorts' messages were the same to the byte: the answer to a task of the first was taken for one to a task of the second. */
const twoCohortsAtOnce: List = {
  name: 'a cohort is replaced in the millisecond in which it was chosen',
  seed: 330,
  shape: { ...small, nodes: 4, deadlineSeconds: 5 },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 1 },
    { do: 'join', node: 2 },
    { do: 'join', node: 3 },
    { do: 'pull', node: 1 },
    { do: 'leave', node: 2, unregister: false },
  ],
};

/** The paused owner was opening the next cohort's room: it went on with that when its successor had finished, and swept, the run. */
const roomAfterSweep: List = {
  name: 'a paused aggregator opens a room of a run that its successor has swept',
  seed: 731249587,
  shape: { ...small, nodes: 3, aggregators: 2, minReport: 2 },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 0 },
    { do: 'join', node: 1 },
    { do: 'join', node: 2 },
    { do: 'slow-disk', ms: 100 },
    { do: 'leave', node: 0, unregister: false },
    { do: 'pause', process: 'aggregator 0' },
    { do: 'advance', ms: 20_000 },
    { do: 'resume', process: 'aggregator 0' },
  ],
};

/** Who had gone was heard before what had been counted: the round was closed twice, and its noise drawn again. */
const goneWhileTakenUp: List = {
  name: 'a node is gone by the time its private round is taken up again',
  seed: 82,
  shape: { ...small, minNodes: 1, deadlineSeconds: 60, privacy: 'poisson' },
  operations: [{ do: 'start-run' }, { do: 'join', node: 0 }, { do: 'kill', process: 'aggregator 0' }],
};

/** No fault of the product: the witness took it for one that a node is not let answer what its former self was asked. */
const formerSelf: List = {
  name: 'a node unregisters with an answer under way, comes back as another node, and answers then',
  seed: 800013968,
  shape: { ...small, minNodes: 1, firstModel: 'node', deadlineSeconds: 60 },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 0 },
    { do: 'slow-disk', ms: 3_000 },
    { do: 'kill', process: 'aggregator 0' },
    { do: 'pull', node: 0 },
    { do: 'answer', node: 0, manner: 'honest' },
    { do: 'leave', node: 0, unregister: true },
    { do: 'start', process: 'aggregator 0' },
  ],
};

/**
 * Two tries to tell the round of a failure: one came through, the other, which had begun before, did not, and opened the task again for the
 * node that had been told.
 */
const toldTwice: List = {
  name: 'a node reports a failure while an earlier report still waits for the bus',
  seed: 810004766,
  shape: { ...small, nodes: 3, minNodes: 1, deadlineSeconds: 5 },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 2 },
    { do: 'bus', is: 'down' },
    { do: 'pull', node: 2 },
    { do: 'answer', node: 2, manner: 'fail' },
    { do: 'answer', node: 2, manner: 'honest' },
    { do: 'advance', ms: 20_000 },
    { do: 'advance', ms: 12_000 },
  ],
};

/** No fault of the product: the simulated disk let a late owner seal its own noise in a folder that its successor had removed. */
const noiseAfterSweep: List = {
  name: 'a paused aggregator draws noise for a round that its successor has finished and removed',
  seed: 820001275,
  shape: { ...small, aggregators: 2, minNodes: 1, privacy: 'none' },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 0 },
    { do: 'slow-bus', ms: 700 },
    { do: 'pull', node: 0 },
    { do: 'answer', node: 0, manner: 'honest' },
    { do: 'advance', ms: 1_000 },
    { do: 'pause', process: 'aggregator 0' },
    { do: 'advance', ms: 20_000 },
    { do: 'advance', ms: 12_000 },
  ],
};

/**
 * The first report was saved before it was answered. The second met what the round knew already, and was answered at once: the node was
 * told, and the next owner, who knew of neither, offered it the task again.
 */
const toldBeforeSaved: List = {
  name: 'an aggregator dies before it saves a failure that it was told of twice',
  seed: 830008783,
  shape: { ...small, minNodes: 1, deadlineSeconds: 5 },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 0 },
    { do: 'slow-bus', ms: 700 },
    { do: 'pull', node: 0 },
    { do: 'answer', node: 0, manner: 'fail' },
    { do: 'answer', node: 0, manner: 'honest' },
    { do: 'crash-at-write', process: 'aggregator 0', n: 1, after: true },
    { do: 'advance', ms: 750 },
  ],
};

/** The write of a task was under way when its owner died, and came when the next one had its answer and had withdrawn it. */
const taskAfterWithdrawal: List = {
  name: 'a task that a dead aggregator wrote arrives after its answer',
  seed: 745056970,
  shape: { ...small, nodes: 3, minNodes: 3 },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 0 },
    { do: 'join', node: 1 },
    { do: 'join', node: 2 },
    { do: 'slow-bus', ms: 700 },
    { do: 'pull', node: 0 },
    { do: 'answer', node: 0, manner: 'nan' },
    { do: 'advance', ms: 1_000 },
    { do: 'advance', ms: 1_000 },
    { do: 'kill', process: 'aggregator 0' },
  ],
};

/** The round had the failure before it, and had not come to it yet: the answer was taken as well, and counted in the model alone. */
const answerAfterFailure: List = {
  name: 'an answer comes while the failure of its task waits to be settled',
  seed: 747874991,
  shape: { ...small, nodes: 3, minNodes: 1, privacy: 'none' },
  operations: [
    { do: 'start-run' },
    { do: 'join', node: 0 },
    { do: 'join', node: 1 },
    { do: 'join', node: 2 },
    { do: 'slow-bus', ms: 3 },
    { do: 'slow-disk', ms: 100 },
    { do: 'advance', ms: 6_000 },
    { do: 'pull', node: 2 },
    { do: 'advance', ms: 16_000 },
    { do: 'events-lost', next: 1 },
    { do: 'kill', process: 'aggregator 0' },
    { do: 'start', process: 'aggregator 0' },
    { do: 'pull', node: 2 },
    { do: 'pull', node: 2 },
    { do: 'advance', ms: 100 },
    { do: 'pull', node: 2 },
  ],
};

export const lists: readonly List[] = [
  crashBeforeWithdrawal,
  announcedTwice,
  crashInStop,
  lateAnnouncement,
  twoCohortsAtOnce,
  roomAfterSweep,
  formerSelf,
  toldTwice,
  toldBeforeSaved,
  taskAfterWithdrawal,
  answerAfterFailure,
  noiseAfterSweep,
  goneWhileTakenUp,
];
