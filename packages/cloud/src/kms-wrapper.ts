import { createHash } from 'node:crypto';
import { DataKey } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import { DecryptCommand, GenerateDataKeyCommand, KMSClient, ReEncryptCommand } from '@aws-sdk/client-kms';
import { clientOptions, nameOf, notAnswered } from './aws-client.ts';
import type { KmsConfig } from './config.ts';
import type { KeyWrapper, Unwrapped } from './key-wrapper.ts';

/** What stands before what KMS returned; 1 is a key file's. */
const VERSION = 2;
/** Data keys that are remembered: more than runs are open at a time. */
const REMEMBERED = 256;

/**
 * Data keys that AWS KMS makes and wraps, with `context` as its encryption context: it stands in CloudTrail, and a policy may ask for it. A key that
 * was opened once is remembered, so that an outage concerns new runs only.
 */
export class KmsWrapper implements KeyWrapper {
  private readonly client: KMSClient;
  private readonly keyId: string;
  private readonly formerKeyIds: readonly string[];
  /** By digest of wrapped form and context; the most recently used stands last. */
  private readonly remembered = new Map<string, Unwrapped>();

  constructor(config: KmsConfig) {
    this.client = new KMSClient(clientOptions(config));
    this.keyId = config['key-id'];
    this.formerKeyIds = config['former-key-ids'];
  }

  async generate(context: string): Promise<{ key: DataKey; wrapped: Buffer }> {
    const { Plaintext, CiphertextBlob } = await this.ask('make a data key', () =>
      this.client.send(
        new GenerateDataKeyCommand({ KeyId: this.keyId, KeySpec: 'AES_256', EncryptionContext: contextOf(context) }),
      ),
    );
    const key = taken(Plaintext);
    const wrapped = wrappedOf(CiphertextBlob);
    this.remember(nameIn(wrapped, context), { key, renewed: null });
    return { key, wrapped };
  }

  async unwrap(wrapped: Uint8Array, context: string): Promise<Unwrapped> {
    const name = nameIn(wrapped, context);
    const known = this.remembered.get(name);
    if (known !== undefined) {
      this.remember(name, known);
      return known;
    }
    if (wrapped[0] !== VERSION) throw new AegisError('KEY_NOT_OPENED', `That of ${context} is not of KMS.`);
    const unwrapped = await this.ask(`open the key of ${context}`, () => this.open(wrapped.subarray(1), context));
    this.remember(name, unwrapped);
    return unwrapped;
  }

  close(): void {
    this.remembered.clear();
    this.client.destroy();
  }

  private async open(blob: Uint8Array, context: string): Promise<Unwrapped> {
    const EncryptionContext = contextOf(context);
    let denied: unknown = null;
    for (const KeyId of [this.keyId, ...this.formerKeyIds]) {
      try {
        const { Plaintext } = await this.client.send(
          new DecryptCommand({ KeyId, CiphertextBlob: blob, EncryptionContext }),
        );
        const key = taken(Plaintext);
        return { key, renewed: KeyId === this.keyId ? null : await this.renew(blob, context, KeyId) };
      } catch (error) {
        if (nameOf(error) === 'InvalidCiphertextException')
          throw new AegisError('KEY_NOT_OPENED', `That of ${context}: damaged, or of another context.`);
        if (nameOf(error) === 'AccessDeniedException') denied = error;
        else if (nameOf(error) !== 'IncorrectKeyException') throw error;
      }
    }
    // a role may get the right later; a key that is the wrong one stays it
    if (denied !== null) throw denied;
    throw new AegisError(
      'KEY_NOT_OPENED',
      `That of ${context} was wrapped by another key of KMS; name it in former-key-ids.`,
    );
  }

  /** From the former key to the present one, inside KMS. */
  private async renew(blob: Uint8Array, context: string, from: string): Promise<Buffer> {
    const { CiphertextBlob } = await this.client.send(
      new ReEncryptCommand({
        CiphertextBlob: blob,
        SourceKeyId: from,
        SourceEncryptionContext: contextOf(context),
        DestinationKeyId: this.keyId,
        DestinationEncryptionContext: contextOf(context),
      }),
    );
    return wrappedOf(CiphertextBlob);
  }

  private remember(name: string, unwrapped: Unwrapped): void {
    this.remembered.delete(name);
    this.remembered.set(name, unwrapped);
    for (const oldest of this.remembered.keys()) {
      if (this.remembered.size <= REMEMBERED) break;
      this.remembered.delete(oldest);
    }
  }

  private async ask<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (nameOf(error) === 'NotFoundException')
        throw new AegisError('CONFIG_INVALID', 'keys.kms.key-id: KMS knows no such key.');
      throw notAnswered('KEYS_UNAVAILABLE', `KMS was to ${what}`, error);
    }
  }
}

const contextOf = (context: string): Record<string, string> => ({ 'aegis:data-key': context });

function wrappedOf(blob: Uint8Array | undefined): Buffer {
  if (blob === undefined) throw new AegisError('KEYS_UNAVAILABLE', 'KMS gave no wrapped key.');
  return Buffer.concat([Buffer.of(VERSION), blob]);
}

/** The core keeps it from here on; what it came in is wiped. */
function taken(plain: Uint8Array | undefined): DataKey {
  if (plain?.length !== 32) throw new AegisError('KEYS_UNAVAILABLE', 'KMS gave no key of 32 bytes.');
  try {
    return DataKey.fromBytes(plain);
  } finally {
    plain.fill(0);
  }
}

const nameIn = (wrapped: Uint8Array, context: string): string =>
  createHash('sha256').update(context).update('\0').update(wrapped).digest('base64');
