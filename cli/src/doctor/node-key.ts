import { readPrivateKey } from '../keys/openssh-private-key.ts';
import { askGateway, findingOf } from './question.ts';
import type { Check } from './step.ts';

/** Is the key registered? A guard's is registered by its certificate, when it first comes. */
export const checkNodeKey: Check = async (patient) => {
  const key = readPrivateKey(patient.nodeKey ?? patient.own?.key ?? '');
  const objection = await askGateway(patient, key, { showsCertificate: patient.own !== undefined });
  const { status, code, words } = objection;
  const isNewHere = code === 'NODE_KEY_UNKNOWN' && !/Node \d+ was removed\.$/.test(words);
  if (isNewHere && patient.nodeKey === undefined)
    return 'the gateway does not know this key yet: its certificate lets it in, unless that came with another key before';
  if (status < 500 && (status !== 401 || code === 'NODE_IDENTITY'))
    return 'the key is registered, and its signature is right';
  throw findingOf(objection);
};
