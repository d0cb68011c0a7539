// An OpenID provider for tests of the command line.  node oidc.ts serve CLIENT SECONDS PEOPLE | node oidc.ts approve ADDRESS SUBJECT
// PEOPLE: JSON, subject → claims. Prints its issuer, then serves until it is ended; ID tokens are good for SECONDS.
import { approveLogin, OidcServer } from '@aegis/testkit/oidc-server';

const [, , verb, first = '', second = '', third = ''] = process.argv;
if (verb === 'approve') await approveLogin(first, second);
else {
  const people = new Map<string, Record<string, unknown>>(Object.entries(JSON.parse(third)));
  const server = await OidcServer.start({ clientId: first, tokenSeconds: Number(second), people });
  console.log(`issuer ${server.issuer}`);
}
