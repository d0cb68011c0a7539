/** Of every program of this project; the version of package.json. */
export const version = '0.1.0';
