package dev.dibs;

import java.util.function.Consumer;

/** Hooks whose faults stay their own. */
record SafeHooks(Hooks hooks) {
  void tell(Consumer<Hooks> event) {
    try {
      event.accept(hooks);
    } catch (Throwable error) {
      // A user's counter that fails must not fail the user's request.
    }
  }
}
