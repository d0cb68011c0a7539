import {
  type Clock,
  counterFromZero,
  type LocalService,
  type Logger,
  systemClock,
  type Telemetry,
  watchVolume,
} from '@aegis/service-kit';
import { issuerService } from './api/issuer.ts';
import { type IssuerConfig, readAuthority } from './config.ts';
import { type Counted, Turns } from './flows/ground.ts';
import { SqliteRegister } from './store/sqlite.ts';

export { type IssuerConfig, issuerConfig } from './config.ts';

export interface IssuerDeps {
  readonly telemetry: Telemetry;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface Issuer {
  /** For whichever transport. */
  readonly services: LocalService[];
  /** Until when its own certificate is good, Unix milliseconds. */
  readonly notAfter: number;
  close(): void;
}

/** Begins to issue. Throws CONFIG_INVALID for files that cannot be used, ISSUER_REGISTER when another process has the state. */
export const startIssuer = (config: IssuerConfig, { telemetry, log, clock = systemClock }: IssuerDeps): Issuer => {
  const { notAfter, ...authority } = readAuthority(config);
  const register = SqliteRegister.open(config['state-dir']);
  const ground = {
    former: config.former.map((one) => readAuthority(one)),
    ...{ authority, notAfter, register, clock, log, counted: countedBy(telemetry) },
    lifeSeconds: Math.ceil(config['certificate-hours'] * 3_600),
    turns: new Turns(),
  };
  telemetry.meter
    .createObservableGauge('aegis_issuer_certificate_ends', {
      description: 'When its own certificate ends, Unix seconds',
    })
    .addCallback((result) => result.observe(notAfter / 1000));
  watchVolume(telemetry.meter, 'issuer', config['state-dir']);
  return { services: [issuerService(ground)], notAfter, close: () => register.close() };
};

const countedBy = ({ meter }: Telemetry): Counted => {
  const issued = counterFromZero(
    meter,
    'aegis_issuer_certificates',
    { description: 'Certificates handed out, by occasion' },
    ['first', 'next', 'again'].map((what) => ({ what })),
  );
  const revoked = counterFromZero(meter, 'aegis_issuer_revocations', {
    description: 'Names whose certificates were revoked',
  });
  return { issued: (what) => issued.add(1, { what }), revoked: () => revoked.add(1) };
};
