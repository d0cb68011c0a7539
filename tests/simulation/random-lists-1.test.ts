// Two files, so that two cores share the 10,000 lists.
import { testRandomLists } from './random-lists.ts';

testRandomLists(1, 5_000);
