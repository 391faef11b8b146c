package example;

import io.dialplane.v1.CallServiceGrpc;
import io.dialplane.v1.CallServiceGrpc.CallServiceBlockingStub;
import io.dialplane.v1.CallSpec;
import io.dialplane.v1.CreateCallsRequest;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** Places one call and follows it to its end: NUMBER [ROUTE [REQUEST_ID]]. */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) throws Exception {
    if (arguments.length < 1 || arguments.length > 3) {
      System.err.println("usage: NUMBER [ROUTE [REQUEST_ID]]");
      System.exit(2);
    }
    String route = arguments.length > 1 ? arguments[1] : "";
    String requestId = arguments.length > 2 ? arguments[2] : UUID.randomUUID().toString();
    ManagedChannel channel = Connecting.connect();
    try {
      call(CallServiceGrpc.newBlockingStub(channel), arguments[0], route, requestId);
    } catch (StatusRuntimeException error) {
      System.err.println(error.getMessage());
      System.exit(1);
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  private static void call(CallServiceBlockingStub stub, String number, String route, String requestId)
      throws InterruptedException {
    // Printed before anything is sent: with this id the same command may be given again, and dials nobody twice.
    System.out.println("request " + requestId);
    boolean replayed = Placing.place(stub, CreateCallsRequest.newBuilder()
        .setRequestId(requestId)
        .setRoute(route)
        .addCalls(CallSpec.newBuilder().addTo(number))
        .build()).getReplayed();
    if (replayed) {
      System.out.println("was placed before");
    }
    Following.follow(stub, requestId, call ->
        System.out.println(call.getCallId() + " " + call.getState() + " " + call.getError().getMessage()));
  }
}
