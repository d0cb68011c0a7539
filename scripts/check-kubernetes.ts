// kube-score over the chart under every set of values: no finding but the explained ones. Needs Go, once, to build kube-score.
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
for (const tool of ['helm.sh', 'kube-score.sh']) execFileSync(join(root, 'scripts', tool), { stdio: 'inherit' });

// Said to be of one each; and KEDA's ScaledObject, which kube-score does not know, says how many gateways there are.
const few = ['minimal.yaml', 'single-node.yaml', 'bring-your-own.yaml'];

const explained = [
  // A limit of CPU stops a process in the middle of a fold or a handshake although the node is idle; requests share it out well enough.
  '--ignore-container-cpu-limit',
  // Tags are versions, or digests: what was pulled once is what was meant. Always would make a start depend on the registry.
  ...['--ignore-test', 'container-image-pull-policy'],
];

let bad = 0;
const sets = [null, ...readdirSync(join(root, 'deploy/k8s/values'))];
for (const set of sets) {
  const args = ['template', 'aegis', join(root, 'deploy/k8s/helm/aegis'), '--namespace', 'aegis'];
  // The least there is says itself what it leaves out.
  const networkPolicies = set === 'minimal.yaml' ? ['--set', 'networkPolicies.enabled=true'] : [];
  if (set !== null) args.push('--values', join(root, 'deploy/k8s/values', set), ...networkPolicies);
  const objects = execFileSync(join(root, '.cache/bin/helm'), args);
  const versions = ['v1.32', 'v1.34'];
  for (const version of versions) {
    const some = few.includes(set ?? '') ? ['--ignore-test', 'deployment-replicas'] : [];
    const score = ['score', '--kubernetes-version', version, '--exit-one-on-warning', ...explained, ...some, '-'];
    const { status, stdout } = spawnSync(join(root, '.cache/bin/kube-score'), score, {
      input: objects,
      encoding: 'utf8',
    });
    const verdict = status === 0 ? 'nothing found' : 'found:';
    console.log(`${set ?? 'no values'}, Kubernetes ${version}: ${verdict}`);
    if (status !== 0)
      console.log(
        stdout
          .split('\n')
          .filter((line) => /\[(CRITICAL|WARNING)\]|·/.test(line))
          .join('\n'),
      );
    if (status !== 0) bad += 1;
  }
}
process.exit(bad === 0 ? 0 : 1);
