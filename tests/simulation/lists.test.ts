import { describe, expect, it } from 'vitest';
import { lists } from './lists/all.ts';
import { runList } from './run.ts';

describe('what once went wrong does not again', () => {
  it.each(lists.map((list) => [list.name, list] as const))('%s', async (_name, list) => {
    const { violation, end } = await runList(list);
    expect(violation).toBeNull();
    expect(end).not.toBeNull();
  });
});
