package interop;

import static interop.World.expect;
import static interop.World.failure;

import com.google.protobuf.ByteString;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import io.dialplane.v1.CallServiceGrpc;
import io.grpc.Context;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.health.v1.HealthGrpc.HealthBlockingStub;
import io.grpc.reflection.v1.ServerReflectionGrpc;
import io.grpc.reflection.v1.ServerReflectionRequest;
import io.grpc.reflection.v1.ServerReflectionResponse;
import io.grpc.reflection.v1.ServiceResponse;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Scenarios with the services that every gRPC server may have. */
final class Services {
  private final World world;

  Services(World world) {
    this.world = world;
  }

  void health() throws Exception {
    for (String name : List.of("", CallServiceGrpc.SERVICE_NAME)) {
      ServingStatus checked = healthStub().check(asksFor(name)).getStatus();
      expect("Check of " + name, checked == ServingStatus.SERVING, checked);
      ServingStatus watched = firstOfWatch(name);
      expect("Watch of " + name, watched == ServingStatus.SERVING, watched);
    }
    StatusRuntimeException error = failure(() -> healthStub().check(asksFor("nobody")));
    expect("Check of an unknown name", error.getStatus().getCode() == Code.NOT_FOUND, error);
    ServingStatus watched = firstOfWatch("nobody");
    expect("Watch of an unknown name", watched == ServingStatus.SERVICE_UNKNOWN, watched);
  }

  private HealthBlockingStub healthStub() {
    return HealthGrpc.newBlockingStub(world.channel).withDeadlineAfter(30, TimeUnit.SECONDS);
  }

  private static HealthCheckRequest asksFor(String name) {
    return HealthCheckRequest.newBuilder().setService(name).build();
  }

  private ServingStatus firstOfWatch(String name) throws Exception {
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      return context.call(() -> healthStub().watch(asksFor(name)).next().getStatus());
    }
  }

  void reflection() throws Exception {
    String name = CallServiceGrpc.SERVICE_NAME;
    List<ServiceResponse> services = asked(ServerReflectionRequest.newBuilder().setListServices("").build())
        .getListServicesResponse().getServiceList();
    expect("services", services.stream().anyMatch(service -> service.getName().equals(name)), services);
    List<ByteString> files = asked(ServerReflectionRequest.newBuilder().setFileContainingSymbol(name).build())
        .getFileDescriptorResponse().getFileDescriptorProtoList();
    boolean defined = false;
    for (ByteString bytes : files) {
      FileDescriptorProto file = FileDescriptorProto.parseFrom(bytes);
      defined |= file.getServiceList().stream()
          .anyMatch(service -> name.equals(file.getPackage() + "." + service.getName()));
    }
    expect("no file defines the service", defined, files.size());
  }

  /** Asks one question, on a stream of its own. */
  private ServerReflectionResponse asked(ServerReflectionRequest request) throws Exception {
    CompletableFuture<ServerReflectionResponse> answer = new CompletableFuture<>();
    StreamObserver<ServerReflectionRequest> questions =
        ServerReflectionGrpc.newStub(world.channel).serverReflectionInfo(new First<>(answer));
    questions.onNext(request);
    questions.onCompleted();
    return answer.get(30, TimeUnit.SECONDS);
  }

  /** Keeps the first message of a stream, or how it ended without one. */
  private record First<T>(CompletableFuture<T> message) implements StreamObserver<T> {
    @Override
    public void onNext(T value) {
      message.complete(value);
    }

    @Override
    public void onError(Throwable error) {
      message.completeExceptionally(error);
    }

    @Override
    public void onCompleted() {
      message.completeExceptionally(new IllegalStateException("the stream ended without a message"));
    }
  }
}
