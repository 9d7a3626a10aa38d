/** Requests to reload. The start reads files once, so a request during it is kept until the start is complete. */
export class ReloadRequests {
  #reload: (() => void) | undefined;
  #isAsked = false;

  ask(): void {
    if (this.#reload === undefined) this.#isAsked = true;
    else this.#reload();
  }

  /** From now on, `reload` answers each request. It answers an earlier one at once. */
  answerBy(reload: () => void): void {
    this.#reload = reload;
    if (this.#isAsked) reload();
  }
}
