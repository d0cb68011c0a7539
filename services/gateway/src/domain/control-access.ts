import type { EnrolmentPolicy } from './enrolment.ts';

/**
 * Who may use Flower's Control API, which knows no accounts. loopback: callers on this machine. open: everybody, but
 * while nodes need an operator's approval, what concerns nodes stays with this machine. off: nobody.
 */
export type ControlPolicy = 'loopback' | 'open' | 'off';

/** What a command is about: runs, or who the nodes are and which of them may come. */
export type ControlUse = 'runs' | 'nodes';

export interface ControlRules {
  readonly control: ControlPolicy;
  readonly enrolment: EnrolmentPolicy;
}

/** `peer`: remote address of the connection; one that is not known is not on this machine. */
export const mayControl = ({ control, enrolment }: ControlRules, peer: string, use: ControlUse): boolean => {
  if (control === 'off') return false;
  if (isLoopback(peer)) return true;
  return control === 'open' && (use === 'runs' || enrolment === 'open');
};

const loopback = /^(?:::1|(?:::ffff:)?127(?:\.\d{1,3}){3})$/i;

/** 127.0.0.0/8, ::1, and the former as IPv6 writes it. */
export const isLoopback = (address: string): boolean => loopback.test(address);
