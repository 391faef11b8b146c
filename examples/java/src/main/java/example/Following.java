package example;

import com.google.protobuf.util.Durations;
import io.dialplane.v1.Call;
import io.dialplane.v1.CallServiceGrpc.CallServiceBlockingStub;
import io.dialplane.v1.WatchCallResultsRequest;
import io.dialplane.v1.WatchCallResultsResponse;
import io.grpc.Context;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import java.util.function.Consumer;

/** Follows calls until they are over. */
public final class Following {
  private static final int RESUMPTIONS = 20; // without a word from the gateway: some minutes
  private final CallServiceBlockingStub stub;
  private final WatchCallResultsRequest.Builder watch;
  private boolean heard; // in this stream

  private Following(CallServiceBlockingStub stub, String requestId) {
    this.stub = stub;
    this.watch = WatchCallResultsRequest.newBuilder()
        .setRequestId(requestId)
        .setHeartbeatInterval(Durations.fromSeconds(30)); // Proxies like to cut streams on which nothing moves.
  }

  /**
   * Tells every change of a request's calls, each once and in order, until all of them are over.
   *
   * <p>A stream that breaks is taken up again after the last change that was told. To go on after a restart of your own
   * program, keep the cursor where you keep what you made of the change. A deadline of the stub is for all of it.
   */
  public static void follow(CallServiceBlockingStub stub, String requestId, Consumer<Call> tell)
      throws InterruptedException {
    Following following = new Following(stub, requestId);
    for (int failures = 0; ; ) {
      following.heard = false;
      try {
        following.readOneStream(tell);
        return;
      } catch (StatusRuntimeException error) {
        failures = following.heard ? 1 : failures + 1;
        if (failures == RESUMPTIONS || !worthResuming(error)) {
          throw error;
        }
        Placing.pause(error, failures);
      }
    }
  }

  /** Reads a stream to its end, and keeps where to resume. */
  private void readOneStream(Consumer<Call> tell) {
    // Hangs up, should `tell` throw.
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      context.run(() -> {
        Iterator<WatchCallResultsResponse> changes = stub.watchCallResults(watch.build());
        while (changes.hasNext()) {
          WatchCallResultsResponse change = changes.next();
          heard = true;
          if (change.hasCall()) { // A heartbeat has none.
            tell.accept(change.getCall());
          }
          watch.setCursor(change.getCursor());
        }
      });
    }
  }

  private static boolean worthResuming(StatusRuntimeException error) {
    return switch (error.getStatus().getCode()) {
      case INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED, UNIMPLEMENTED -> false;
      case DEADLINE_EXCEEDED -> false; // It is the stub's, which you gave.
      default -> true; // The connection broke, or the gateway stops. Reading again does no harm.
    };
  }
}
