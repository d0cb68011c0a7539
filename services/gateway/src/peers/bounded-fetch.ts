/** Descriptions, keys and tokens have some kilobytes. */
const MOST_BYTES = 2 ** 20;

/** `fetch` whose answers end with an error beyond 1 MiB, unpacked: whoever answers decides neither our memory nor our time. */
export const boundedFetch = async (url: string | URL, options: RequestInit): Promise<Response> => {
  const { body, status, statusText, headers } = await fetch(url, options);
  if (body === null) return new Response(null, { status, statusText, headers });
  let read = 0;
  const bounded = body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (piece, controller) => {
        read += piece.byteLength;
        if (read > MOST_BYTES) controller.error(new Error(`The answer has more than ${MOST_BYTES} bytes.`));
        else controller.enqueue(piece);
      },
    }),
  );
  return new Response(bounded, { status, statusText, headers });
};
