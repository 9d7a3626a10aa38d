package dev.dibs.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * CoordinatorService decides who rebuilds a cached value, and passes the result to all waiters.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class CoordinatorServiceGrpc {

  private CoordinatorServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "dibs.v1.CoordinatorService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.dibs.v1.GetOrLockRequest,
      dev.dibs.v1.GetOrLockResponse> getGetOrLockMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetOrLock",
      requestType = dev.dibs.v1.GetOrLockRequest.class,
      responseType = dev.dibs.v1.GetOrLockResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.dibs.v1.GetOrLockRequest,
      dev.dibs.v1.GetOrLockResponse> getGetOrLockMethod() {
    io.grpc.MethodDescriptor<dev.dibs.v1.GetOrLockRequest, dev.dibs.v1.GetOrLockResponse> getGetOrLockMethod;
    if ((getGetOrLockMethod = CoordinatorServiceGrpc.getGetOrLockMethod) == null) {
      synchronized (CoordinatorServiceGrpc.class) {
        if ((getGetOrLockMethod = CoordinatorServiceGrpc.getGetOrLockMethod) == null) {
          CoordinatorServiceGrpc.getGetOrLockMethod = getGetOrLockMethod =
              io.grpc.MethodDescriptor.<dev.dibs.v1.GetOrLockRequest, dev.dibs.v1.GetOrLockResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetOrLock"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.GetOrLockRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.GetOrLockResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CoordinatorServiceMethodDescriptorSupplier("GetOrLock"))
              .build();
        }
      }
    }
    return getGetOrLockMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.dibs.v1.PublishRequest,
      dev.dibs.v1.PublishResponse> getPublishMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Publish",
      requestType = dev.dibs.v1.PublishRequest.class,
      responseType = dev.dibs.v1.PublishResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.dibs.v1.PublishRequest,
      dev.dibs.v1.PublishResponse> getPublishMethod() {
    io.grpc.MethodDescriptor<dev.dibs.v1.PublishRequest, dev.dibs.v1.PublishResponse> getPublishMethod;
    if ((getPublishMethod = CoordinatorServiceGrpc.getPublishMethod) == null) {
      synchronized (CoordinatorServiceGrpc.class) {
        if ((getPublishMethod = CoordinatorServiceGrpc.getPublishMethod) == null) {
          CoordinatorServiceGrpc.getPublishMethod = getPublishMethod =
              io.grpc.MethodDescriptor.<dev.dibs.v1.PublishRequest, dev.dibs.v1.PublishResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Publish"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.PublishRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.PublishResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CoordinatorServiceMethodDescriptorSupplier("Publish"))
              .build();
        }
      }
    }
    return getPublishMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.dibs.v1.ReleaseRequest,
      dev.dibs.v1.ReleaseResponse> getReleaseMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Release",
      requestType = dev.dibs.v1.ReleaseRequest.class,
      responseType = dev.dibs.v1.ReleaseResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.dibs.v1.ReleaseRequest,
      dev.dibs.v1.ReleaseResponse> getReleaseMethod() {
    io.grpc.MethodDescriptor<dev.dibs.v1.ReleaseRequest, dev.dibs.v1.ReleaseResponse> getReleaseMethod;
    if ((getReleaseMethod = CoordinatorServiceGrpc.getReleaseMethod) == null) {
      synchronized (CoordinatorServiceGrpc.class) {
        if ((getReleaseMethod = CoordinatorServiceGrpc.getReleaseMethod) == null) {
          CoordinatorServiceGrpc.getReleaseMethod = getReleaseMethod =
              io.grpc.MethodDescriptor.<dev.dibs.v1.ReleaseRequest, dev.dibs.v1.ReleaseResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Release"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.ReleaseRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.ReleaseResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CoordinatorServiceMethodDescriptorSupplier("Release"))
              .build();
        }
      }
    }
    return getReleaseMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.dibs.v1.ExtendRequest,
      dev.dibs.v1.ExtendResponse> getExtendMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Extend",
      requestType = dev.dibs.v1.ExtendRequest.class,
      responseType = dev.dibs.v1.ExtendResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.dibs.v1.ExtendRequest,
      dev.dibs.v1.ExtendResponse> getExtendMethod() {
    io.grpc.MethodDescriptor<dev.dibs.v1.ExtendRequest, dev.dibs.v1.ExtendResponse> getExtendMethod;
    if ((getExtendMethod = CoordinatorServiceGrpc.getExtendMethod) == null) {
      synchronized (CoordinatorServiceGrpc.class) {
        if ((getExtendMethod = CoordinatorServiceGrpc.getExtendMethod) == null) {
          CoordinatorServiceGrpc.getExtendMethod = getExtendMethod =
              io.grpc.MethodDescriptor.<dev.dibs.v1.ExtendRequest, dev.dibs.v1.ExtendResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Extend"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.ExtendRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.ExtendResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CoordinatorServiceMethodDescriptorSupplier("Extend"))
              .build();
        }
      }
    }
    return getExtendMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.dibs.v1.InvalidateRequest,
      dev.dibs.v1.InvalidateResponse> getInvalidateMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Invalidate",
      requestType = dev.dibs.v1.InvalidateRequest.class,
      responseType = dev.dibs.v1.InvalidateResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.dibs.v1.InvalidateRequest,
      dev.dibs.v1.InvalidateResponse> getInvalidateMethod() {
    io.grpc.MethodDescriptor<dev.dibs.v1.InvalidateRequest, dev.dibs.v1.InvalidateResponse> getInvalidateMethod;
    if ((getInvalidateMethod = CoordinatorServiceGrpc.getInvalidateMethod) == null) {
      synchronized (CoordinatorServiceGrpc.class) {
        if ((getInvalidateMethod = CoordinatorServiceGrpc.getInvalidateMethod) == null) {
          CoordinatorServiceGrpc.getInvalidateMethod = getInvalidateMethod =
              io.grpc.MethodDescriptor.<dev.dibs.v1.InvalidateRequest, dev.dibs.v1.InvalidateResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Invalidate"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.InvalidateRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.InvalidateResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CoordinatorServiceMethodDescriptorSupplier("Invalidate"))
              .build();
        }
      }
    }
    return getInvalidateMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.dibs.v1.GetOrLockManyRequest,
      dev.dibs.v1.GetOrLockManyResponse> getGetOrLockManyMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetOrLockMany",
      requestType = dev.dibs.v1.GetOrLockManyRequest.class,
      responseType = dev.dibs.v1.GetOrLockManyResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.dibs.v1.GetOrLockManyRequest,
      dev.dibs.v1.GetOrLockManyResponse> getGetOrLockManyMethod() {
    io.grpc.MethodDescriptor<dev.dibs.v1.GetOrLockManyRequest, dev.dibs.v1.GetOrLockManyResponse> getGetOrLockManyMethod;
    if ((getGetOrLockManyMethod = CoordinatorServiceGrpc.getGetOrLockManyMethod) == null) {
      synchronized (CoordinatorServiceGrpc.class) {
        if ((getGetOrLockManyMethod = CoordinatorServiceGrpc.getGetOrLockManyMethod) == null) {
          CoordinatorServiceGrpc.getGetOrLockManyMethod = getGetOrLockManyMethod =
              io.grpc.MethodDescriptor.<dev.dibs.v1.GetOrLockManyRequest, dev.dibs.v1.GetOrLockManyResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetOrLockMany"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.GetOrLockManyRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.GetOrLockManyResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CoordinatorServiceMethodDescriptorSupplier("GetOrLockMany"))
              .build();
        }
      }
    }
    return getGetOrLockManyMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.dibs.v1.ExplainRequest,
      dev.dibs.v1.ExplainResponse> getExplainMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Explain",
      requestType = dev.dibs.v1.ExplainRequest.class,
      responseType = dev.dibs.v1.ExplainResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.dibs.v1.ExplainRequest,
      dev.dibs.v1.ExplainResponse> getExplainMethod() {
    io.grpc.MethodDescriptor<dev.dibs.v1.ExplainRequest, dev.dibs.v1.ExplainResponse> getExplainMethod;
    if ((getExplainMethod = CoordinatorServiceGrpc.getExplainMethod) == null) {
      synchronized (CoordinatorServiceGrpc.class) {
        if ((getExplainMethod = CoordinatorServiceGrpc.getExplainMethod) == null) {
          CoordinatorServiceGrpc.getExplainMethod = getExplainMethod =
              io.grpc.MethodDescriptor.<dev.dibs.v1.ExplainRequest, dev.dibs.v1.ExplainResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Explain"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.ExplainRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.ExplainResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CoordinatorServiceMethodDescriptorSupplier("Explain"))
              .build();
        }
      }
    }
    return getExplainMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.dibs.v1.SessionRequest,
      dev.dibs.v1.SessionResponse> getSessionMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Session",
      requestType = dev.dibs.v1.SessionRequest.class,
      responseType = dev.dibs.v1.SessionResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<dev.dibs.v1.SessionRequest,
      dev.dibs.v1.SessionResponse> getSessionMethod() {
    io.grpc.MethodDescriptor<dev.dibs.v1.SessionRequest, dev.dibs.v1.SessionResponse> getSessionMethod;
    if ((getSessionMethod = CoordinatorServiceGrpc.getSessionMethod) == null) {
      synchronized (CoordinatorServiceGrpc.class) {
        if ((getSessionMethod = CoordinatorServiceGrpc.getSessionMethod) == null) {
          CoordinatorServiceGrpc.getSessionMethod = getSessionMethod =
              io.grpc.MethodDescriptor.<dev.dibs.v1.SessionRequest, dev.dibs.v1.SessionResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Session"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.SessionRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.dibs.v1.SessionResponse.getDefaultInstance()))
              .setSchemaDescriptor(new CoordinatorServiceMethodDescriptorSupplier("Session"))
              .build();
        }
      }
    }
    return getSessionMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static CoordinatorServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CoordinatorServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CoordinatorServiceStub>() {
        @java.lang.Override
        public CoordinatorServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CoordinatorServiceStub(channel, callOptions);
        }
      };
    return CoordinatorServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static CoordinatorServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CoordinatorServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CoordinatorServiceBlockingV2Stub>() {
        @java.lang.Override
        public CoordinatorServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CoordinatorServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return CoordinatorServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static CoordinatorServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CoordinatorServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CoordinatorServiceBlockingStub>() {
        @java.lang.Override
        public CoordinatorServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CoordinatorServiceBlockingStub(channel, callOptions);
        }
      };
    return CoordinatorServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static CoordinatorServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<CoordinatorServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<CoordinatorServiceFutureStub>() {
        @java.lang.Override
        public CoordinatorServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new CoordinatorServiceFutureStub(channel, callOptions);
        }
      };
    return CoordinatorServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * CoordinatorService decides who rebuilds a cached value, and passes the result to all waiters.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * GetOrLock returns the value, the lease to rebuild it, or the time to retry.
     * Busy and failed are answers, not errors, so that clients do not retry them blindly.
     * </pre>
     */
    default void getOrLock(dev.dibs.v1.GetOrLockRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.GetOrLockResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetOrLockMethod(), responseObserver);
    }

    /**
     * <pre>
     * Publish stores the rebuilt value if its token is the armed one, and wakes the waiters.
     * </pre>
     */
    default void publish(dev.dibs.v1.PublishRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.PublishResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPublishMethod(), responseObserver);
    }

    /**
     * <pre>
     * Release ends a lease without a value. One waiter gets the next lease. With a failure, all waiters get
     * that failure.
     * </pre>
     */
    default void release(dev.dibs.v1.ReleaseRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.ReleaseResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getReleaseMethod(), responseObserver);
    }

    /**
     * <pre>
     * Extend prolongs a running lease. Clients call it every third of the lease. An extended
     * lease belongs to the session of this call, and ends with it.
     * </pre>
     */
    default void extend(dev.dibs.v1.ExtendRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.ExtendResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getExtendMethod(), responseObserver);
    }

    /**
     * <pre>
     * Invalidate drops values or marks them stale, and voids their running rebuilds.
     * Commit to the source first, then invalidate.
     * </pre>
     */
    default void invalidate(dev.dibs.v1.InvalidateRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.InvalidateResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getInvalidateMethod(), responseObserver);
    }

    /**
     * <pre>
     * GetOrLockMany is GetOrLock for many keys: hits and leases first, then each wait as it ends.
     * It sends one response per key. The stream ends after the last one.
     * </pre>
     */
    default void getOrLockMany(dev.dibs.v1.GetOrLockManyRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.GetOrLockManyResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetOrLockManyMethod(), responseObserver);
    }

    /**
     * <pre>
     * Explain shows why a key waits: who holds it, since when, and how its last leases ended.
     * </pre>
     */
    default void explain(dev.dibs.v1.ExplainRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.ExplainResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getExplainMethod(), responseObserver);
    }

    /**
     * <pre>
     * Session carries all calls above on one stream, many in a message, answered in any order.
     * A lease that was granted on a session ends with the session.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<dev.dibs.v1.SessionRequest> session(
        io.grpc.stub.StreamObserver<dev.dibs.v1.SessionResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getSessionMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service CoordinatorService.
   * <pre>
   * CoordinatorService decides who rebuilds a cached value, and passes the result to all waiters.
   * </pre>
   */
  public static abstract class CoordinatorServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return CoordinatorServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service CoordinatorService.
   * <pre>
   * CoordinatorService decides who rebuilds a cached value, and passes the result to all waiters.
   * </pre>
   */
  public static final class CoordinatorServiceStub
      extends io.grpc.stub.AbstractAsyncStub<CoordinatorServiceStub> {
    private CoordinatorServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CoordinatorServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CoordinatorServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * GetOrLock returns the value, the lease to rebuild it, or the time to retry.
     * Busy and failed are answers, not errors, so that clients do not retry them blindly.
     * </pre>
     */
    public void getOrLock(dev.dibs.v1.GetOrLockRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.GetOrLockResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetOrLockMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Publish stores the rebuilt value if its token is the armed one, and wakes the waiters.
     * </pre>
     */
    public void publish(dev.dibs.v1.PublishRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.PublishResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPublishMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Release ends a lease without a value. One waiter gets the next lease. With a failure, all waiters get
     * that failure.
     * </pre>
     */
    public void release(dev.dibs.v1.ReleaseRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.ReleaseResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getReleaseMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Extend prolongs a running lease. Clients call it every third of the lease. An extended
     * lease belongs to the session of this call, and ends with it.
     * </pre>
     */
    public void extend(dev.dibs.v1.ExtendRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.ExtendResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getExtendMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Invalidate drops values or marks them stale, and voids their running rebuilds.
     * Commit to the source first, then invalidate.
     * </pre>
     */
    public void invalidate(dev.dibs.v1.InvalidateRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.InvalidateResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getInvalidateMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * GetOrLockMany is GetOrLock for many keys: hits and leases first, then each wait as it ends.
     * It sends one response per key. The stream ends after the last one.
     * </pre>
     */
    public void getOrLockMany(dev.dibs.v1.GetOrLockManyRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.GetOrLockManyResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getGetOrLockManyMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Explain shows why a key waits: who holds it, since when, and how its last leases ended.
     * </pre>
     */
    public void explain(dev.dibs.v1.ExplainRequest request,
        io.grpc.stub.StreamObserver<dev.dibs.v1.ExplainResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getExplainMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Session carries all calls above on one stream, many in a message, answered in any order.
     * A lease that was granted on a session ends with the session.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<dev.dibs.v1.SessionRequest> session(
        io.grpc.stub.StreamObserver<dev.dibs.v1.SessionResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getSessionMethod(), getCallOptions()), responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service CoordinatorService.
   * <pre>
   * CoordinatorService decides who rebuilds a cached value, and passes the result to all waiters.
   * </pre>
   */
  public static final class CoordinatorServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<CoordinatorServiceBlockingV2Stub> {
    private CoordinatorServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CoordinatorServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CoordinatorServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * GetOrLock returns the value, the lease to rebuild it, or the time to retry.
     * Busy and failed are answers, not errors, so that clients do not retry them blindly.
     * </pre>
     */
    public dev.dibs.v1.GetOrLockResponse getOrLock(dev.dibs.v1.GetOrLockRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetOrLockMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Publish stores the rebuilt value if its token is the armed one, and wakes the waiters.
     * </pre>
     */
    public dev.dibs.v1.PublishResponse publish(dev.dibs.v1.PublishRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPublishMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Release ends a lease without a value. One waiter gets the next lease. With a failure, all waiters get
     * that failure.
     * </pre>
     */
    public dev.dibs.v1.ReleaseResponse release(dev.dibs.v1.ReleaseRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getReleaseMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Extend prolongs a running lease. Clients call it every third of the lease. An extended
     * lease belongs to the session of this call, and ends with it.
     * </pre>
     */
    public dev.dibs.v1.ExtendResponse extend(dev.dibs.v1.ExtendRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getExtendMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Invalidate drops values or marks them stale, and voids their running rebuilds.
     * Commit to the source first, then invalidate.
     * </pre>
     */
    public dev.dibs.v1.InvalidateResponse invalidate(dev.dibs.v1.InvalidateRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getInvalidateMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetOrLockMany is GetOrLock for many keys: hits and leases first, then each wait as it ends.
     * It sends one response per key. The stream ends after the last one.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.dibs.v1.GetOrLockManyResponse>
        getOrLockMany(dev.dibs.v1.GetOrLockManyRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getGetOrLockManyMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Explain shows why a key waits: who holds it, since when, and how its last leases ended.
     * </pre>
     */
    public dev.dibs.v1.ExplainResponse explain(dev.dibs.v1.ExplainRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getExplainMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Session carries all calls above on one stream, many in a message, answered in any order.
     * A lease that was granted on a session ends with the session.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<dev.dibs.v1.SessionRequest, dev.dibs.v1.SessionResponse>
        session() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getSessionMethod(), getCallOptions());
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service CoordinatorService.
   * <pre>
   * CoordinatorService decides who rebuilds a cached value, and passes the result to all waiters.
   * </pre>
   */
  public static final class CoordinatorServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<CoordinatorServiceBlockingStub> {
    private CoordinatorServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CoordinatorServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CoordinatorServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * GetOrLock returns the value, the lease to rebuild it, or the time to retry.
     * Busy and failed are answers, not errors, so that clients do not retry them blindly.
     * </pre>
     */
    public dev.dibs.v1.GetOrLockResponse getOrLock(dev.dibs.v1.GetOrLockRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetOrLockMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Publish stores the rebuilt value if its token is the armed one, and wakes the waiters.
     * </pre>
     */
    public dev.dibs.v1.PublishResponse publish(dev.dibs.v1.PublishRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPublishMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Release ends a lease without a value. One waiter gets the next lease. With a failure, all waiters get
     * that failure.
     * </pre>
     */
    public dev.dibs.v1.ReleaseResponse release(dev.dibs.v1.ReleaseRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getReleaseMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Extend prolongs a running lease. Clients call it every third of the lease. An extended
     * lease belongs to the session of this call, and ends with it.
     * </pre>
     */
    public dev.dibs.v1.ExtendResponse extend(dev.dibs.v1.ExtendRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getExtendMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Invalidate drops values or marks them stale, and voids their running rebuilds.
     * Commit to the source first, then invalidate.
     * </pre>
     */
    public dev.dibs.v1.InvalidateResponse invalidate(dev.dibs.v1.InvalidateRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getInvalidateMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetOrLockMany is GetOrLock for many keys: hits and leases first, then each wait as it ends.
     * It sends one response per key. The stream ends after the last one.
     * </pre>
     */
    public java.util.Iterator<dev.dibs.v1.GetOrLockManyResponse> getOrLockMany(
        dev.dibs.v1.GetOrLockManyRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getGetOrLockManyMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Explain shows why a key waits: who holds it, since when, and how its last leases ended.
     * </pre>
     */
    public dev.dibs.v1.ExplainResponse explain(dev.dibs.v1.ExplainRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getExplainMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service CoordinatorService.
   * <pre>
   * CoordinatorService decides who rebuilds a cached value, and passes the result to all waiters.
   * </pre>
   */
  public static final class CoordinatorServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<CoordinatorServiceFutureStub> {
    private CoordinatorServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected CoordinatorServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new CoordinatorServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * GetOrLock returns the value, the lease to rebuild it, or the time to retry.
     * Busy and failed are answers, not errors, so that clients do not retry them blindly.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.dibs.v1.GetOrLockResponse> getOrLock(
        dev.dibs.v1.GetOrLockRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetOrLockMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Publish stores the rebuilt value if its token is the armed one, and wakes the waiters.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.dibs.v1.PublishResponse> publish(
        dev.dibs.v1.PublishRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPublishMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Release ends a lease without a value. One waiter gets the next lease. With a failure, all waiters get
     * that failure.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.dibs.v1.ReleaseResponse> release(
        dev.dibs.v1.ReleaseRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getReleaseMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Extend prolongs a running lease. Clients call it every third of the lease. An extended
     * lease belongs to the session of this call, and ends with it.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.dibs.v1.ExtendResponse> extend(
        dev.dibs.v1.ExtendRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getExtendMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Invalidate drops values or marks them stale, and voids their running rebuilds.
     * Commit to the source first, then invalidate.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.dibs.v1.InvalidateResponse> invalidate(
        dev.dibs.v1.InvalidateRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getInvalidateMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Explain shows why a key waits: who holds it, since when, and how its last leases ended.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.dibs.v1.ExplainResponse> explain(
        dev.dibs.v1.ExplainRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getExplainMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_GET_OR_LOCK = 0;
  private static final int METHODID_PUBLISH = 1;
  private static final int METHODID_RELEASE = 2;
  private static final int METHODID_EXTEND = 3;
  private static final int METHODID_INVALIDATE = 4;
  private static final int METHODID_GET_OR_LOCK_MANY = 5;
  private static final int METHODID_EXPLAIN = 6;
  private static final int METHODID_SESSION = 7;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_GET_OR_LOCK:
          serviceImpl.getOrLock((dev.dibs.v1.GetOrLockRequest) request,
              (io.grpc.stub.StreamObserver<dev.dibs.v1.GetOrLockResponse>) responseObserver);
          break;
        case METHODID_PUBLISH:
          serviceImpl.publish((dev.dibs.v1.PublishRequest) request,
              (io.grpc.stub.StreamObserver<dev.dibs.v1.PublishResponse>) responseObserver);
          break;
        case METHODID_RELEASE:
          serviceImpl.release((dev.dibs.v1.ReleaseRequest) request,
              (io.grpc.stub.StreamObserver<dev.dibs.v1.ReleaseResponse>) responseObserver);
          break;
        case METHODID_EXTEND:
          serviceImpl.extend((dev.dibs.v1.ExtendRequest) request,
              (io.grpc.stub.StreamObserver<dev.dibs.v1.ExtendResponse>) responseObserver);
          break;
        case METHODID_INVALIDATE:
          serviceImpl.invalidate((dev.dibs.v1.InvalidateRequest) request,
              (io.grpc.stub.StreamObserver<dev.dibs.v1.InvalidateResponse>) responseObserver);
          break;
        case METHODID_GET_OR_LOCK_MANY:
          serviceImpl.getOrLockMany((dev.dibs.v1.GetOrLockManyRequest) request,
              (io.grpc.stub.StreamObserver<dev.dibs.v1.GetOrLockManyResponse>) responseObserver);
          break;
        case METHODID_EXPLAIN:
          serviceImpl.explain((dev.dibs.v1.ExplainRequest) request,
              (io.grpc.stub.StreamObserver<dev.dibs.v1.ExplainResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_SESSION:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.session(
              (io.grpc.stub.StreamObserver<dev.dibs.v1.SessionResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getGetOrLockMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.dibs.v1.GetOrLockRequest,
              dev.dibs.v1.GetOrLockResponse>(
                service, METHODID_GET_OR_LOCK)))
        .addMethod(
          getPublishMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.dibs.v1.PublishRequest,
              dev.dibs.v1.PublishResponse>(
                service, METHODID_PUBLISH)))
        .addMethod(
          getReleaseMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.dibs.v1.ReleaseRequest,
              dev.dibs.v1.ReleaseResponse>(
                service, METHODID_RELEASE)))
        .addMethod(
          getExtendMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.dibs.v1.ExtendRequest,
              dev.dibs.v1.ExtendResponse>(
                service, METHODID_EXTEND)))
        .addMethod(
          getInvalidateMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.dibs.v1.InvalidateRequest,
              dev.dibs.v1.InvalidateResponse>(
                service, METHODID_INVALIDATE)))
        .addMethod(
          getGetOrLockManyMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.dibs.v1.GetOrLockManyRequest,
              dev.dibs.v1.GetOrLockManyResponse>(
                service, METHODID_GET_OR_LOCK_MANY)))
        .addMethod(
          getExplainMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.dibs.v1.ExplainRequest,
              dev.dibs.v1.ExplainResponse>(
                service, METHODID_EXPLAIN)))
        .addMethod(
          getSessionMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              dev.dibs.v1.SessionRequest,
              dev.dibs.v1.SessionResponse>(
                service, METHODID_SESSION)))
        .build();
  }

  private static abstract class CoordinatorServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    CoordinatorServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.dibs.v1.CoordinatorProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("CoordinatorService");
    }
  }

  private static final class CoordinatorServiceFileDescriptorSupplier
      extends CoordinatorServiceBaseDescriptorSupplier {
    CoordinatorServiceFileDescriptorSupplier() {}
  }

  private static final class CoordinatorServiceMethodDescriptorSupplier
      extends CoordinatorServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    CoordinatorServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (CoordinatorServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new CoordinatorServiceFileDescriptorSupplier())
              .addMethod(getGetOrLockMethod())
              .addMethod(getPublishMethod())
              .addMethod(getReleaseMethod())
              .addMethod(getExtendMethod())
              .addMethod(getInvalidateMethod())
              .addMethod(getGetOrLockManyMethod())
              .addMethod(getExplainMethod())
              .addMethod(getSessionMethod())
              .build();
        }
      }
    }
    return result;
  }
}
