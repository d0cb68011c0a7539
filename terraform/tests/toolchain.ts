import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** What `terraform` is run with: its environment, or why it cannot be run here. */
export type Toolchain =
  | { readonly env: Record<string, string>; readonly version: string }
  | { readonly missing: string };

/** Subfolders of a folder; none where it cannot be read. */
const children = (folder: string): string[] => {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(folder, entry.name));
  } catch {
    return [];
  }
};

/** Folders in the layout of a provider mirror (HOST/hashicorp/aws/VERSION/PLATFORM/) where one is usually put. */
function mirrors(): string[] {
  const usual = [
    process.env.TF_PLUGIN_CACHE_DIR,
    join(homedir(), '.terraform.d/plugins'),
    '/usr/local/share/terraform/plugins',
    '/usr/share/terraform/plugins',
    ...children('/opt'),
  ];
  return usual.filter((folder): folder is string =>
    children(folder ?? '').some((host) =>
      children(join(host, 'hashicorp/aws'))
        .flatMap(children)
        .some((platform) => readdirSync(platform).some((name) => name.startsWith('terraform-provider-aws'))),
    ),
  );
}

/**
 * Finds terraform and an AWS provider that is already on this machine: by the user's own TF_CLI_CONFIG_FILE, or in a folder where a mirror is
 * usually put. Nothing is downloaded: a test run must not fetch hundreds of megabytes unasked.
 */
export function findToolchain(): Toolchain {
  const version = spawnSync('terraform', ['version', '-json'], {
    encoding: 'utf8',
    env: { ...process.env, TF_CLI_CONFIG_FILE: '/dev/null' },
  });
  if (version.status !== 0) return { missing: 'there is no terraform' };
  const { terraform_version } = JSON.parse(version.stdout) as { terraform_version: string };
  const env: Record<string, string> = {
    CHECKPOINT_DISABLE: '1',
    TF_IN_AUTOMATION: '1',
    AWS_ACCESS_KEY_ID: 'testing',
    AWS_SECRET_ACCESS_KEY: 'testing',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  const own = process.env.TF_CLI_CONFIG_FILE;
  if (own && existsSync(own)) return { env: { ...env, TF_CLI_CONFIG_FILE: resolve(own) }, version: terraform_version };
  const [mirror] = mirrors();
  if (!mirror)
    return { missing: 'there is no AWS provider on this machine (terraform-provider-aws in a filesystem mirror)' };
  const config = join(mkdtempSync(join(tmpdir(), 'aegis-terraform-')), 'terraform.rc');
  writeFileSync(
    config,
    `provider_installation {\n  filesystem_mirror {\n    path = ${JSON.stringify(mirror)}\n  }\n}\n`,
  );
  return { env: { ...env, TF_CLI_CONFIG_FILE: config }, version: terraform_version };
}
