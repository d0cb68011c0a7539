const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of these bytes. Throws a TypeError for what is no UTF-8: replaced letters would be another text than others read. */
export const strictText = (bytes: Uint8Array): string => decoder.decode(bytes);
