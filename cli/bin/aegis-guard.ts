#!/usr/bin/env node
import { runGuardProgram } from '../src/guard-program.ts';

process.exitCode = await runGuardProgram(process.argv.slice(2));
