package dev.dibs.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import dev.dibs.v1.CoordinatorServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.ProtoMethodDescriptorSupplier;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** One unary call as in the contract, with JSON in and out, as proto3 defines it. */
final class RawCall extends ClientCall.Listener<Message> {
  private final CompletableFuture<JsonObject> result;
  private final boolean isStream;
  private final JsonArray responses = new JsonArray();

  private RawCall(CompletableFuture<JsonObject> result, boolean isStream) {
    this.result = result;
    this.isStream = isStream;
  }

  static CompletableFuture<JsonObject> start(Channel channel, String name, String request, Duration deadline) {
    MethodDescriptor<Message, Message> method = method(name);
    CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(deadline.toNanos(), TimeUnit.NANOSECONDS);
    ClientCall<Message, Message> call = channel.newCall(method, options);
    CompletableFuture<JsonObject> result = new CompletableFuture<>();
    boolean isStream = !method.getType().serverSendsOneMessage();
    call.start(new RawCall(result, isStream), new Metadata());
    call.sendMessage(parsed(method, request));
    call.halfClose();
    call.request(Integer.MAX_VALUE);
    result.whenComplete((value, error) -> call.cancel("it has ended", null));
    return result;
  }

  @Override
  public void onMessage(Message response) {
    try {
      responses.add(JsonParser.parseString(JsonFormat.printer().print(response)));
    } catch (InvalidProtocolBufferException error) {
      result.completeExceptionally(error);
    }
  }

  @Override
  public void onClose(Status status, Metadata trailers) {
    if (!status.isOk()) {
      result.completeExceptionally(new StatusRuntimeException(status, trailers));
      return;
    }
    JsonObject all = new JsonObject();
    all.add("responses", responses);
    result.complete(isStream ? all : responses.get(0).getAsJsonObject());
  }

  @SuppressWarnings("unchecked")
  private static MethodDescriptor<Message, Message> method(String name) {
    for (MethodDescriptor<?, ?> method : CoordinatorServiceGrpc.getServiceDescriptor().getMethods()) {
      boolean isNamed = method.getSchemaDescriptor() instanceof ProtoMethodDescriptorSupplier schema
          && schema.getMethodDescriptor().getName().equals(name);
      if (isNamed) return (MethodDescriptor<Message, Message>) method;
    }
    throw new IllegalArgumentException("no such method: " + name);
  }

  private static Message parsed(MethodDescriptor<Message, Message> method, String request) {
    var prototype = (MethodDescriptor.PrototypeMarshaller<Message>) method.getRequestMarshaller();
    Message.Builder builder = prototype.getMessagePrototype().newBuilderForType();
    try {
      JsonFormat.parser().merge(request, builder);
    } catch (InvalidProtocolBufferException error) {
      throw new IllegalArgumentException("the request: " + error.getMessage(), error);
    }
    return builder.build();
  }
}
