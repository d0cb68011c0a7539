/** A piece of a part that was sent. */
export interface Slice {
  readonly partId: string;
  readonly offset: number;
  readonly length: number;
}
