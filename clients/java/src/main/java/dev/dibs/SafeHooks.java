package dev.dibs;

import java.util.function.Consumer;

/** Hooks whose exceptions are contained. */
record SafeHooks(Hooks hooks) {
  void tell(Consumer<Hooks> event) {
    try {
      event.accept(hooks);
    } catch (Throwable error) {
      // A failing hook must not fail the call.
    }
  }
}
