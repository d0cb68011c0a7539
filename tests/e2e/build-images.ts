import { buildImages } from '../../deploy/docker/build.ts';

/** The images under test are built from this checkout; no registry is asked. */
export const setup = (): void => buildImages();
