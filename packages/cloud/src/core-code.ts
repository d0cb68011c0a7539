import { CoreError, type CoreErrorCode } from '@aegis/core-native';

export const coreCode = (error: unknown): CoreErrorCode | undefined =>
  error instanceof CoreError ? error.code : undefined;
