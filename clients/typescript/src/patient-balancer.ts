import { experimental, connectivityState as State } from '@grpc/grpc-js';

/** The name of this policy in a service config. */
export const POLICY = 'dibs_patient_round_robin';

/** An attribute of addresses that are not all: a name of the target has no answer yet. Connections do not depend on it. */
export const INCOMPLETE = `${experimental.SUBCHANNEL_ARGS_EXCLUDE_KEY_PREFIX}.dibs_incomplete`;

const ROUND_ROBIN = experimental.parseLoadBalancingConfig({ round_robin: {} });

/**
 * gRPC's round robin, except that a failure is not reported until all names have answered. With a list A,B, the address
 * of A may refuse before that of B is known, and calls would fail although B stands.
 */
class PatientBalancer implements experimental.LoadBalancer {
  readonly #turns: experimental.ChildLoadBalancerHandler;
  #isIncomplete = false;

  constructor(helper: experimental.ChannelControlHelper) {
    const updateState: typeof helper.updateState = (state, ...rest) => {
      if (this.#isIncomplete && state === State.TRANSIENT_FAILURE) {
        helper.updateState(State.CONNECTING, new experimental.QueuePicker(this), null);
      } else {
        helper.updateState(state, ...rest);
      }
    };
    this.#turns = new experimental.ChildLoadBalancerHandler(
      experimental.createChildChannelControlHelper(helper, { updateState }),
    );
  }

  updateAddressList(...[found, , options, note]: Parameters<experimental.LoadBalancer['updateAddressList']>) {
    this.#isIncomplete = options[INCOMPLETE] === true;
    // It reports its state again each time.
    return this.#turns.updateAddressList(found, ROUND_ROBIN, options, note);
  }

  exitIdle(): void {
    this.#turns.exitIdle();
  }

  resetBackoff(): void {
    this.#turns.resetBackoff();
  }

  destroy(): void {
    this.#turns.destroy();
  }

  getTypeName(): string {
    return POLICY;
  }
}

class Config implements experimental.TypedLoadBalancingConfig {
  getLoadBalancerName(): string {
    return POLICY;
  }

  toJsonObject(): object {
    return { [POLICY]: {} };
  }

  static createFromJson(): Config {
    return new Config();
  }
}

experimental.registerLoadBalancerType(POLICY, PatientBalancer, Config);
