import { sha256Hex } from '@aegis/core-native';
import type { FileSlice, Part } from '../domain/answer.ts';
import type { PartFiles } from '../store/contract.ts';

/** A slice of a file as parts the server takes: none larger than it allows, each named by its hash. */
export const cutSlice = async (
  files: PartFiles,
  taskId: string,
  { file, offset, length }: FileSlice,
  largest: number,
): Promise<Part[]> => {
  const parts: Part[] = [];
  for (let at = 0; at < length; at += largest) {
    const piece = { file, offset: offset + at, length: Math.min(largest, length - at) };
    const partId = await sha256Hex([await files.read(taskId, file, piece.offset, piece.length)]);
    parts.push({ partId, ...piece });
  }
  return parts;
};

export const cutFile = (files: PartFiles, taskId: string, file: string, length: number, largest: number) =>
  cutSlice(files, taskId, { file, offset: 0, length }, largest);
