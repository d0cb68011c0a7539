// How numbers are written in the notes of figures.

export const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)}`;

/** "gateway 1.20, nats-server 0.03", the largest first; what would be shown as nothing is left out. */
export const byProcess = (values: Record<string, number>, shown: (value: number) => string): string =>
  Object.entries(values)
    .sort(([, a], [, b]) => b - a)
    .map(([name, value]) => [name, shown(value)] as const)
    .filter(([, text]) => Number(text) > 0)
    .map(([name, text]) => `${name} ${text}`)
    .join(', ');
