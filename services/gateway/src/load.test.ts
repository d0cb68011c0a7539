import { eventually } from '@aegis/testkit';
import { expect, it, onTestFinished } from 'vitest';
import { Load, pressureAt } from './load.ts';

it('says what presses', () => {
  expect(pressureAt({ utilization: 0.89, memory: 0.89 }, 'calm')).toBe('calm');
  expect(pressureAt({ utilization: 0.9, memory: 0.5 }, 'calm')).toBe('busy');
  expect(pressureAt({ utilization: 0.1, memory: 0.9 }, 'calm')).toBe('full');
  // It has to be over, not only less.
  expect(pressureAt({ utilization: 0.7, memory: 0.5 }, 'busy')).toBe('busy');
  expect(pressureAt({ utilization: 0.69, memory: 0.5 }, 'busy')).toBe('calm');
});

it('sees an event loop without rest, and that it is over', async () => {
  const load = new Load();
  let works = true;
  onTestFinished(() => {
    works = false;
    load.stop();
  });
  expect(load.pressure()).toBe('calm');
  const work = (): void => {
    const until = performance.now() + 20;
    while (performance.now() < until);
    if (works) setImmediate(work);
  };
  work();
  await eventually(() => expect(load.pressure()).toBe('busy'));
  works = false;
  await eventually(() => expect(load.pressure()).toBe('calm'));
});
