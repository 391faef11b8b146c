package interop;

import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import io.dialplane.v1.Call;
import io.dialplane.v1.CallServiceGrpc;
import io.dialplane.v1.CallServiceGrpc.CallServiceBlockingStub;
import io.dialplane.v1.CallSpec;
import io.dialplane.v1.CreateCallsRequest;
import io.grpc.ManagedChannel;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/** What scenarios have to work with: a gateway, names of their own, and what should be seen. */
final class World {
  private static final Pattern DIALLED = Pattern.compile("\"vendor_call_id\"");

  final ManagedChannel channel;
  private final HttpClient http = HttpClient.newHttpClient();

  World(ManagedChannel channel) {
    this.channel = channel;
  }

  static String environment(String name) {
    String value = System.getenv(name);
    if (value == null) {
      throw new IllegalStateException(name + " is not set");
    }
    return value;
  }

  /** With a deadline: what hangs is to leave time for other scenarios. */
  CallServiceBlockingStub stub() {
    return within(30);
  }

  CallServiceBlockingStub within(long seconds) {
    return CallServiceGrpc.newBlockingStub(channel).withDeadlineAfter(seconds, TimeUnit.SECONDS);
  }

  /** A number that ends with these: two digits to tell it from others, and two that choose what happens. */
  String number(String ending) {
    return "+9199" + environment("INTEROP_NUMBERS") + ending;
  }

  String id(String name) {
    return environment("INTEROP_RUN") + "-java-" + name;
  }

  /** A request for calls to these numbers, each with a reference of its own. */
  CreateCallsRequest.Builder request(String name, String route, String... numbers) {
    CreateCallsRequest.Builder request = CreateCallsRequest.newBuilder().setRequestId(id(name)).setRoute(route);
    for (int place = 0; place < numbers.length; place++) {
      request.addCalls(CallSpec.newBuilder().setClientReference(id(name) + "-" + place).addTo(numbers[place]));
    }
    return request;
  }

  static void expect(String what, boolean right, Object seen) {
    if (!right) {
      throw new AssertionFailed(what + ": " + seen);
    }
  }

  /** Checks how often a number really was called. */
  void dialled(String number, int times) throws Exception {
    URI log = URI.create(environment("INTEROP_SANDBOX") + "/sandbox/dialed?number=" + number.substring(1));
    String told = http.send(HttpRequest.newBuilder(log).build(), HttpResponse.BodyHandlers.ofString()).body();
    expect("a number was to be dialled " + times + " times", DIALLED.matcher(told).results().count() == times, told);
  }

  /** The error in which an RPC has to end. */
  static StatusRuntimeException failure(Callable<?> rpc) throws Exception {
    Object answer;
    try {
      answer = rpc.call();
    } catch (StatusRuntimeException error) {
      return error;
    }
    throw new AssertionFailed("an RPC was to fail, and gave " + answer);
  }

  /** The status of an RPC that failed, with its details, which has to have that code. */
  static Status status(StatusRuntimeException error, Code code) {
    expect("not " + code, error.getStatus().getCode() == code, error);
    return StatusProto.fromThrowable(error);
  }

  /** Checks code, domain and reason (any, if empty) of an error. */
  static ErrorInfo refused(Status status, Code code, String domain, String reason) {
    ErrorInfo info = example.Placing.detail(status, ErrorInfo.class).orElseGet(ErrorInfo::getDefaultInstance);
    boolean right = status.getCode() == code.value() && info.getDomain().equals(domain)
        && (reason.isEmpty() || info.getReason().equals(reason));
    expect("not " + code + ", " + reason + " of " + domain, right, status);
    return info;
  }

  /** The fields that the error's BadRequest names. */
  static List<String> wrongFields(Status status) {
    return example.Placing.detail(status, BadRequest.class).orElseGet(BadRequest::getDefaultInstance)
        .getFieldViolationsList().stream().map(BadRequest.FieldViolation::getField).toList();
  }

  static List<String> ids(List<Call> calls) {
    return calls.stream().map(Call::getCallId).toList();
  }

  /** What was seen is not what should be. */
  static final class AssertionFailed extends RuntimeException {
    private static final long serialVersionUID = 1;

    AssertionFailed(String what) {
      super(what);
    }

    @Override
    public String toString() {
      return getMessage();
    }
  }
}
