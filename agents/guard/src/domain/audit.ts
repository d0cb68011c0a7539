/** One line of the owner's audit file. Names and numbers of what was decided, never data. */
export type AuditEvent =
  | {
      readonly event: 'consent-stated';
      /** `purpose version`, of all that the server was told; whatever else it had heard is withdrawn. */
      readonly to: readonly string[];
    }
  | {
      readonly event: 'offer-allowed';
      readonly task: string;
      readonly run: string;
      readonly round: number;
      readonly kind: string;
      readonly app: string;
      readonly appHash: string;
      readonly signedBy: readonly string[];
    }
  | {
      readonly event: 'offer-refused';
      readonly task: string;
      readonly run: string;
      readonly round: number;
      readonly kind: string;
      readonly app: string;
      readonly appHash: string;
      readonly rule: string;
      readonly reason: string;
    }
  | {
      readonly event: 'answer-released';
      readonly task: string;
      readonly run: string;
      readonly round: number;
      readonly kind: string;
      readonly tensors: readonly string[];
      readonly metrics: readonly string[];
      readonly withheld: readonly string[];
      readonly bytes: number;
      /** Nodes of the sum that its values are hidden in, at least; 0: it left in the clear. */
      readonly maskedAmong: number;
      /** σ of the noise that this node added to each element, in steps of the grid; absent: none. */
      readonly noiseSigma?: number;
      /** ε of all noised sums so far, where the owner set a budget. */
      readonly epsilonSpent?: number;
    }
  | {
      readonly event: 'round-joined';
      readonly task: string;
      readonly run: string;
      readonly round: number;
      readonly kind: string;
      /** Whose certificates were checked, this node's among them. */
      readonly nodes: number;
      /** Fewest of them whose sum may be opened, and shares that open a secret. */
      readonly survivors: number;
      readonly threshold: number;
    }
  | {
      readonly event: 'round-refused';
      readonly task: string;
      readonly run: string;
      readonly stage: string;
      /** As the core of secure aggregation names it. */
      readonly reason: string;
      readonly detail: string;
    }
  | {
      readonly event: 'sum-opened';
      readonly task: string;
      readonly run: string;
      readonly round: number;
      readonly kind: string;
      readonly survivors: number;
      readonly dropped: number;
    }
  | {
      readonly event: 'answer-refused';
      readonly task: string;
      readonly run: string;
      readonly round: number;
      readonly kind: string;
      readonly rule: string;
      readonly reason: string;
    }
  | {
      readonly event: 'update-noised';
      readonly task: string;
      readonly run: string;
      readonly round: number;
      readonly kind: string;
      readonly clip: number;
      readonly sigma: number;
      /** Of the change before clipping; it never leaves. */
      readonly norm: number;
      readonly clipped: boolean;
    }
  | {
      readonly event: 'failure-reported';
      readonly task: string;
      readonly run: string;
      readonly code: number;
      readonly reason: string;
    }
  | {
      readonly event: 'verdict';
      readonly task: string;
      readonly run: string;
      readonly accepted: boolean;
      readonly code: string;
    }
  | {
      readonly event: 'certificate';
      readonly how: 'enrolled' | 'renewed';
      readonly name: string;
      readonly until: string;
    }
  | { readonly event: 'started'; readonly policy: string };
