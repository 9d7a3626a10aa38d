package dev.dibs;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.opentelemetry.api.trace.Span;

/** Sends the current span along with calls of a user's stubs, unless they set one themselves. */
final class CurrentTrace implements ClientInterceptor {
  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void start(Listener<R> listener, Metadata headers) {
        String traceparent = Tracing.traceparentOf(Span.current());
        if (!traceparent.isEmpty() && !headers.containsKey(Tracing.TRACEPARENT)) {
          headers.put(Tracing.TRACEPARENT, traceparent);
        }
        super.start(listener, headers);
      }
    };
  }
}
