// Two files, so that two cores share the 10,000 lists.
import { testRandomLists } from './random-lists.ts';

testRandomLists(5_001, 5_000);
