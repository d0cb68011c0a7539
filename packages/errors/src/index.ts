export * from './aegis-error.ts';
export * from './catalog.ts';
