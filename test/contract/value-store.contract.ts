import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { StoreTrial, type StoreUnderTest } from '../support/store-trial.js';
import { failuresContract } from './value-store-failures.contract.js';
import { handingContract } from './value-store-handing.contract.js';
import { invalidationContract } from './value-store-invalidation.contract.js';
import { leaseContract } from './value-store-lease.contract.js';
import { readingContract } from './value-store-reading.contract.js';
import { resultContract } from './value-store-result.contract.js';
import { silenceContract } from './value-store-silence.contract.js';

/** What every implementation of the value store promises. */
export function valueStoreContract(start: () => Promise<StoreUnderTest>): void {
  let under: StoreUnderTest;
  let trial: StoreTrial;
  beforeAll(async () => {
    under = await start();
  });
  afterAll(() => under.close());
  beforeEach(() => {
    trial = new StoreTrial(under);
  });
  afterEach(() => trial.close());

  leaseContract(() => trial);
  handingContract(() => trial);
  readingContract(() => trial);
  resultContract(() => trial);
  failuresContract(() => trial);
  invalidationContract(() => trial);
  silenceContract(() => trial);
}
