package example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.Durations;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.dialplane.v1.CallServiceGrpc.CallServiceBlockingStub;
import io.dialplane.v1.CreateCallsRequest;
import io.dialplane.v1.CreateCallsResponse;
import io.grpc.Context;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** Places calls so that nobody is dialled twice. */
public final class Placing {
  private static final int ATTEMPTS = 5;
  private static final long PATIENCE_SECONDS = 30; // for one attempt
  private static final Duration FIRST_WAIT = Duration.ofMillis(500);
  private static final Duration TOO_LONG = Duration.ofMinutes(5); // to wait, whoever asks for it

  private Placing() {}

  /**
   * Sends the request, and sends the very same one again as long as its answer is missing.
   *
   * <p>The request_id is what makes that safe: under one id the gateway places the calls once. Make it once, where the
   * wish to call arises, keep it with that (in your database, say), and use it for every try, after a crash too.
   */
  public static CreateCallsResponse place(CallServiceBlockingStub stub, CreateCallsRequest request)
      throws InterruptedException {
    if (request.getRequestId().isEmpty()) {
      throw new IllegalArgumentException("a request without a request_id can't be repeated safely");
    }
    for (int attempt = 1; ; attempt++) {
      try {
        // A deadline ends the waiting and not the placing: the next try gets the answer that this one missed.
        return stub.withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS).createCalls(request);
      } catch (StatusRuntimeException error) {
        if (attempt == ATTEMPTS || !worthRepeating(error)) {
          throw error;
        }
        pause(error, attempt);
      }
    }
  }

  /** Whether the very same request may have another answer. */
  private static boolean worthRepeating(StatusRuntimeException error) {
    if (detail(error, CreateCallsResponse.class).isPresent()) {
      return false; // The calls came along: this is what is recorded under the request_id, for good.
    }
    if (Context.current().isCancelled()) {
      return false; // You don't want it any more.
    }
    if (detail(error, ErrorInfo.class).isEmpty()) {
      return true; // It was not the gateway that spoke: a connection broke, or a proxy answered.
    }
    return switch (error.getStatus().getCode()) {
      case UNAVAILABLE, DEADLINE_EXCEEDED -> true;
      // Where there was too much at once, nothing was recorded.
      default -> detail(error, RetryInfo.class).isPresent();
    };
  }

  /** Waits for as long as the gateway says, or else longer with each failure. Too long a wait ends in the error. */
  static void pause(StatusRuntimeException error, int failures) throws InterruptedException {
    Optional<RetryInfo> told = detail(error, RetryInfo.class);
    long wait = told.map(info -> Durations.toMillis(info.getRetryDelay())).orElseGet(() -> {
      long most = FIRST_WAIT.toMillis() << Math.min(failures - 1, 6);
      return ThreadLocalRandom.current().nextLong(most / 2, most); // so that not all clients come back at once
    });
    if (wait > TOO_LONG.toMillis()) {
      throw error;
    }
    Thread.sleep(wait);
  }

  /** The first detail of that type in the status of an RPC that failed. */
  public static <T extends Message> Optional<T> detail(StatusRuntimeException error, Class<T> type) {
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    if (status == null) {
      return Optional.empty();
    }
    return detail(status, type);
  }

  /** The first detail of that type, of the error of an RPC or of a call. */
  public static <T extends Message> Optional<T> detail(com.google.rpc.Status status, Class<T> type) {
    try {
      for (Any detail : status.getDetailsList()) {
        if (detail.is(type)) {
          return Optional.of(detail.unpack(type));
        }
      }
    } catch (InvalidProtocolBufferException unreadable) {
      // As good as none.
    }
    return Optional.empty();
  }
}
