package interop;

import static example.Placing.detail;
import static interop.World.expect;
import static interop.World.failure;
import static interop.World.ids;
import static interop.World.refused;
import static interop.World.status;
import static interop.World.wrongFields;

import com.google.protobuf.util.Durations;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import example.Following;
import io.dialplane.v1.Call;
import io.dialplane.v1.CallServiceGrpc.CallServiceBlockingStub;
import io.dialplane.v1.CallState;
import io.dialplane.v1.CreateCallsRequest;
import io.dialplane.v1.CreateCallsResponse;
import io.dialplane.v1.GetCallResultsRequest;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Scenarios that place calls. */
final class Placing {
  private final World world;

  Placing(World world) {
    this.world = world;
  }

  void create() throws Exception {
    CallServiceBlockingStub stub = world.stub();
    String number = world.number("2000");
    CreateCallsRequest request = world.request("create", "", number).build();
    CreateCallsResponse first = example.Placing.place(stub, request);
    List<CallState> states = new ArrayList<>();
    Following.follow(stub, request.getRequestId(), call -> states.add(call.getState()));
    CreateCallsResponse again = example.Placing.place(stub, request);
    // Whose answer was lost has it from a further try.
    boolean lost = System.getenv("INTEROP_LOST") != null;
    expect("the first answer is a replay", first.getReplayed() == lost, first);
    expect("how it ended", states.get(states.size() - 1) == CallState.CALL_STATE_ANSWERED, states);
    expect("not the same call", ids(first.getCallsList()).equals(ids(again.getCallsList())), again);
    expect("not replayed", again.getReplayed(), again);
    world.dialled(number, 1);
  }

  void reused() throws Exception {
    String number = world.number("2100");
    String other = world.number("2200");
    world.stub().createCalls(world.request("reused", "", number).build());
    CreateCallsRequest differs = world.request("reused", "", other).build();
    Status status = status(failure(() -> world.stub().createCalls(differs)), Code.ALREADY_EXISTS);
    refused(status, Code.ALREADY_EXISTS, "dialplane", "REQUEST_ID_REUSED");
    world.dialled(number, 1);
    world.dialled(other, 0);
  }

  void partial() {
    List<Call> calls = world.stub().createCalls(world.request("partial", "mobtexting",
        world.number("6000"), world.number("6110"), world.number("6201")).build()).getCallsList();
    expect("not three calls", calls.size() == 3, calls);
    Call failed = calls.get(1);
    expect("the second did not fail", failed.getState() == CallState.CALL_STATE_FAILED, failed);
    ErrorInfo info = refused(failed.getError(), Code.INVALID_ARGUMENT, "mobtexting.com", "");
    for (String name : List.of("vendor", "vendor_code", "http_status")) {
      expect("no " + name, !info.getMetadataOrDefault(name, "").isEmpty(), info);
    }
    expect("dialed", info.getMetadataOrDefault("dialed", "").equals("no"), info);
    for (Call call : List.of(calls.get(0), calls.get(2))) {
      expect("no id, or an error", !call.getCallId().isEmpty() && !call.hasError(), call);
    }
  }

  void allFailed() throws Exception {
    CreateCallsRequest request =
        world.request("all-failed", "phonon", world.number("2711"), world.number("2811")).build();
    Status status = status(failure(() -> world.stub().createCalls(request)), Code.RESOURCE_EXHAUSTED);
    ErrorInfo info = refused(status, Code.RESOURCE_EXHAUSTED, "phonon.io", "INSUFFICIENT_BALANCE");
    expect("request_id", info.getMetadataOrDefault("request_id", "").equals(request.getRequestId()), info);
    CreateCallsResponse packed = detail(status, CreateCallsResponse.class).orElseThrow();
    expect("not both calls", packed.getCallsCount() == 2, packed);
    for (int place = 0; place < 2; place++) {
      Call call = packed.getCalls(place);
      expect("no id", !call.getCallId().isEmpty(), call);
      expect("its reference", call.getClientReference().equals(request.getCalls(place).getClientReference()), call);
      refused(call.getError(), Code.RESOURCE_EXHAUSTED, "phonon.io", "INSUFFICIENT_BALANCE");
    }
  }

  void badRequest() throws Exception {
    CreateCallsRequest empty = world.request("no-calls", "").build();
    Status status = status(failure(() -> world.stub().createCalls(empty)), Code.INVALID_ARGUMENT);
    refused(status, Code.INVALID_ARGUMENT, "dialplane", "");
    expect("fields of the empty one", wrongFields(status).equals(List.of("calls")), status);

    CreateCallsRequest wrong =
        world.request("no-number", "", world.number("2300"), "nobody").setAllOrNothing(true).build();
    status = status(failure(() -> world.stub().createCalls(wrong)), Code.INVALID_ARGUMENT);
    refused(status, Code.INVALID_ARGUMENT, "dialplane", "");
    expect("fields of the wrong one", wrongFields(status).equals(List.of("calls[1].to[0]")), status);
    world.dialled(world.number("2300"), 0);
  }

  void validate() throws Exception {
    List<Call> calls = world.stub().createCalls(
        world.request("validate", "", world.number("2400"), "nobody").setValidateOnly(true).build()).getCallsList();
    expect("ids", ids(calls).equals(List.of("", "")), calls);
    expect("the first is wrong", !calls.get(0).hasError(), calls);
    refused(calls.get(1).getError(), Code.INVALID_ARGUMENT, "dialplane", "");
    world.dialled(world.number("2400"), 0);
  }

  void retryInfo() throws Exception {
    world.stub().createCalls(world.request("first", "paced", world.number("2500")).build());
    CreateCallsRequest second = world.request("second", "paced", world.number("2600")).build();
    long began = System.nanoTime();
    StatusRuntimeException error = failure(() -> world.within(2).createCalls(second));
    long took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
    Status status = status(error, Code.RESOURCE_EXHAUSTED);
    refused(status, Code.RESOURCE_EXHAUSTED, "dialplane", "PACE_EXHAUSTED");
    expect("not refused at once", took < 1500, took);
    expect("no QuotaFailure", detail(status, QuotaFailure.class).isPresent(), status);
    long wait = Durations.toMillis(detail(status, RetryInfo.class).orElseThrow().getRetryDelay());
    expect("the wait", wait > 2_000 && wait <= 60_000, wait);
    world.dialled(world.number("2600"), 0);
  }

  void deadline() throws Exception {
    CreateCallsRequest request = world.request("deadline", "slow", world.number("2914")).build();
    long began = System.nanoTime();
    StatusRuntimeException error = failure(() -> world.within(1).createCalls(request));
    long took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
    expect("not DEADLINE_EXCEEDED", error.getStatus().getCode() == Code.DEADLINE_EXCEEDED, error);
    expect("not after a second", took > 800 && took < 3_000, took);
    List<Call> begun = world.stub().getCallResults(
        GetCallResultsRequest.newBuilder().setRequestId(request.getRequestId()).build()).getCallsList();
    List<Call> again = world.stub().createCalls(request).getCallsList();
    expect("not the very same call", again.size() == 1 && ids(begun).equals(ids(again)), again);
    world.dialled(world.number("2914"), 1);
  }
}
