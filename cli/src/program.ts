import { Command } from 'commander';
import { addAppImport } from './commands/app-import.ts';
import { addAppSign } from './commands/app-sign.ts';
import { addAuditShow } from './commands/audit-show.ts';
import { addAuditTail } from './commands/audit-tail.ts';
import { addAuditVerify } from './commands/audit-verify.ts';
import { addBackup } from './commands/backup.ts';
import { addBudgetLs } from './commands/budget-ls.ts';
import { addBudgetSet } from './commands/budget-set.ts';
import { addBudgetWatch } from './commands/budget-watch.ts';
import { addCaInit } from './commands/ca-init.ts';
import { addCaIssue } from './commands/ca-issue.ts';
import { addCaIssuer } from './commands/ca-issuer.ts';
import { addCaRevoke } from './commands/ca-revoke.ts';
import { addCerts } from './commands/certs.ts';
import { addConsentLs } from './commands/consent-ls.ts';
import { addDemo } from './commands/demo.ts';
import { addDoctor } from './commands/doctor.ts';
import { addDown } from './commands/down.ts';
import { addGuard } from './commands/guard.ts';
import { addIssuer } from './commands/issuer.ts';
import { addKubernetesSecrets } from './commands/kubernetes-secrets.ts';
import { addLedgerShow } from './commands/ledger-show.ts';
import { addLedgerVerify } from './commands/ledger-verify.ts';
import { addLogin, addLogout } from './commands/login.ts';
import { addModelsExport } from './commands/models-export.ts';
import { addModelsImport } from './commands/models-import.ts';
import { addModelsLs } from './commands/models-ls.ts';
import { addModelsStatement } from './commands/models-statement.ts';
import { addNodesApprove } from './commands/nodes-approve.ts';
import { addNodesInvitations } from './commands/nodes-invitations.ts';
import { addNodesInvite } from './commands/nodes-invite.ts';
import { addNodesLs } from './commands/nodes-ls.ts';
import { addNodesRemove } from './commands/nodes-remove.ts';
import { addNodesUninvite } from './commands/nodes-uninvite.ts';
import { addOperatorsAdd, addOperatorsLs, addOperatorsRm } from './commands/operators.ts';
import { addOperatorsLogin } from './commands/operators-login.ts';
import { addPrivacyEpsilon } from './commands/privacy-epsilon.ts';
import { addPrivacyRounds } from './commands/privacy-rounds.ts';
import { addPrivacySigma } from './commands/privacy-sigma.ts';
import { addRestore } from './commands/restore.ts';
import { addRunsLs } from './commands/runs-ls.ts';
import { addRunsShow } from './commands/runs-show.ts';
import { addRunsStop } from './commands/runs-stop.ts';
import { addRunsTakeover } from './commands/runs-takeover.ts';
import { addRunsWatch } from './commands/runs-watch.ts';
import { addUp } from './commands/up.ts';
import type { Context } from './context.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { runProgram, type Surroundings } from './run-program.ts';
import { version } from './version.ts';

/** Runs one command line (without `node` and the script's name) and returns the exit code. */
export const run = (args: readonly string[], surroundings: Surroundings): Promise<number> =>
  runProgram(createProgram, args, surroundings);

function createProgram(context: Context): Command {
  const program = new Command('aegis')
    .description('Federated learning for stock Flower clients: start the suite, see and steer what it does.')
    .version(version)
    .helpCommand(false)
    .addHelpText('after', exitCodeHelp);
  const known = () => context;
  addUp(program, known);
  addDown(program, known);
  addDemo(program, known);
  addBackup(program, known);
  addRestore(program, known);
  const runs = program.command('runs').description('runs and their rounds');
  for (const add of [addRunsLs, addRunsShow, addRunsWatch, addRunsStop, addRunsTakeover]) add(runs, known);
  const nodes = program.command('nodes').description('who may take part, and who does');
  for (const add of [
    addNodesLs,
    addNodesInvite,
    addNodesInvitations,
    addNodesUninvite,
    addNodesApprove,
    addNodesRemove,
  ])
    add(nodes, known);
  const models = program.command('models').description('model versions');
  for (const add of [addModelsLs, addModelsImport, addModelsExport, addModelsStatement]) add(models, known);
  const budget = program.command('budget').description('privacy budgets: what may be spent, and what is');
  for (const add of [addBudgetLs, addBudgetSet, addBudgetWatch]) add(budget, known);
  const operators = program.command('operators').description('who may ask this server what, by tokens with roles');
  for (const add of [addOperatorsAdd, addOperatorsLs, addOperatorsRm, addOperatorsLogin]) add(operators, known);
  addLogin(program, known);
  addLogout(program, known);
  const consent = program.command('consent').description('what nodes said they consent to; only they can say it');
  addConsentLs(consent, known);
  const audit = program.command('audit').description('who was let in, who did what, who was refused');
  for (const add of [addAuditShow, addAuditTail, addAuditVerify]) add(audit, known);
  const ledger = program.command('ledger').description('the privacy ledger: everything that was ever let out');
  for (const add of [addLedgerVerify, addLedgerShow]) add(ledger, known);
  const privacy = program.command('privacy').description('what releases cost: offline privacy accounting');
  for (const add of [addPrivacyEpsilon, addPrivacySigma, addPrivacyRounds]) add(privacy, known);
  const app = program.command('app').description('Flower apps');
  for (const add of [addAppImport, addAppSign]) add(app, known);
  const ca = program.command('ca').description("the federation's own authority, kept offline");
  for (const add of [addCaInit, addCaIssue, addCaIssuer, addCaRevoke]) add(ca, known);
  addCerts(program, known);
  const kubernetes = program.command('kubernetes').description('what the Helm chart (deploy/k8s) needs from outside');
  addKubernetesSecrets(kubernetes, known);
  addGuard(program, known);
  addIssuer(program, known);
  addDoctor(program, known);
  return program;
}
