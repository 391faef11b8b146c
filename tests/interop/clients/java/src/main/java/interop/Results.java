package interop;

import static interop.World.expect;
import static interop.World.ids;

import com.google.protobuf.util.Durations;
import com.google.protobuf.util.Timestamps;
import io.dialplane.v1.Call;
import io.dialplane.v1.CallState;
import io.dialplane.v1.CancelCallsRequest;
import io.dialplane.v1.CreateCallsRequest;
import io.dialplane.v1.GetCallResultsRequest;
import io.dialplane.v1.GetCallResultsResponse;
import io.dialplane.v1.WatchCallResultsRequest;
import io.dialplane.v1.WatchCallResultsResponse;
import io.grpc.Context;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/** Scenarios that ask what became of calls, or take them back. */
final class Results {
  private final World world;

  Results(World world) {
    this.world = world;
  }

  void results() throws InterruptedException {
    CreateCallsRequest request = world.request("results", "", world.number("3000"), world.number("3100"),
        world.number("3200"), world.number("3300"), world.number("3400")).build();
    List<String> placed = ids(world.stub().createCalls(request).getCallsList());
    expect("the pages", pages(request.getRequestId()).equals(
        List.of(placed.subList(0, 2), placed.subList(2, 4), placed.subList(4, 5))), placed);
    String missing = world.id("nobody-has-this");
    GetCallResultsResponse found = world.stub().getCallResults(GetCallResultsRequest.newBuilder()
        .addClientReferences(request.getCalls(3).getClientReference())
        .addClientReferences(missing)
        .build());
    expect("by reference", ids(found.getCallsList()).equals(placed.subList(3, 4)), found);
    expect("not_found", found.getNotFoundList().equals(List.of(missing)), found);
    waitForAll(request.getRequestId());
  }

  /** The ids of a request's calls, two by two. */
  private List<List<String>> pages(String requestId) {
    List<List<String>> pages = new ArrayList<>();
    String token = "";
    do {
      GetCallResultsResponse page = world.stub().getCallResults(GetCallResultsRequest.newBuilder()
          .setRequestId(requestId).setPageSize(2).setPageToken(token).build());
      pages.add(ids(page.getCallsList()));
      token = page.getNextPageToken();
    } while (!token.isEmpty() && pages.size() < 6);
    return pages;
  }

  /** Asks the vendor until it has told the end of each call. */
  private void waitForAll(String requestId) throws InterruptedException {
    GetCallResultsRequest now = GetCallResultsRequest.newBuilder()
        .setRequestId(requestId).setMaxStaleness(Durations.ZERO).build();
    long began = System.nanoTime();
    List<Call> calls;
    while (!(calls = world.stub().getCallResults(now).getCallsList()).stream().allMatch(Call::hasEndTime)) {
      expect("they are not over", System.nanoTime() - began < 30_000_000_000L, calls);
      Thread.sleep(50);
    }
    for (Call call : calls) {
      expect("how it ended", call.getState() == CallState.CALL_STATE_ANSWERED, call);
    }
  }

  void watch() {
    CreateCallsRequest request =
        world.request("watch", "", world.number("4000"), world.number("4100"), world.number("4200")).build();
    List<String> placed = ids(world.stub().createCalls(request).getCallsList());
    WatchCallResultsRequest.Builder selection =
        WatchCallResultsRequest.newBuilder().setRequestId(request.getRequestId());
    List<Call> seen = twoChanges(selection);
    Iterator<WatchCallResultsResponse> changes = world.stub().watchCallResults(selection.build());
    changes.forEachRemaining(change -> seen.add(change.getCall()));
    everyRevision(seen, placed);
  }

  /** Reads two messages, hangs up, and keeps the cursor in the selection. */
  private List<Call> twoChanges(WatchCallResultsRequest.Builder selection) {
    List<Call> seen = new ArrayList<>();
    Context.CancellableContext context = Context.current().withCancellation();
    context.run(() -> {
      Iterator<WatchCallResultsResponse> changes = world.stub().watchCallResults(selection.build());
      for (int count = 0; count < 2; count++) {
        WatchCallResultsResponse change = changes.next();
        seen.add(change.getCall());
        selection.setCursor(change.getCursor());
      }
      context.cancel(null);
      try {
        // What had come by then may still be read. Nobody deals with it, so it has to come again.
        changes.forEachRemaining(ignored -> {});
        expect("the stream was hung up", false, "and ends with OK");
      } catch (StatusRuntimeException error) {
        expect("the stream was hung up", error.getStatus().getCode() == Code.CANCELLED, error);
      }
    });
    return seen;
  }

  /** Checks that each call's revisions came once and in order, and that the last one is final. */
  private static void everyRevision(List<Call> seen, List<String> placed) {
    Map<String, Call> last = new HashMap<>();
    for (Call call : seen) {
      Call before = last.put(call.getCallId(), call);
      long right = before == null ? 1 : before.getRevision() + 1;
      expect("not revision " + right, call.getRevision() == right, call);
    }
    expect("other calls", last.size() == placed.size() && last.keySet().containsAll(placed), last.keySet());
    for (Call call : last.values()) {
      expect("not the end", call.getState() == CallState.CALL_STATE_ANSWERED, call);
    }
  }

  void cancel() throws Exception {
    String number = world.number("5000");
    CreateCallsRequest.Builder request = world.request("cancel", "", number);
    request.getCallsBuilder(0).setStartTime(Timestamps.add(Timestamps.now(), Durations.fromHours(1)));
    List<Call> placed = world.stub().createCalls(request.build()).getCallsList();
    expect("not SCHEDULED", placed.get(0).getState() == CallState.CALL_STATE_SCHEDULED, placed);
    List<Call> after = world.stub().cancelCalls(
        CancelCallsRequest.newBuilder().setRequestId(request.getRequestId()).build()).getCallsList();
    expect("not CANCELED", after.size() == 1 && after.get(0).getState() == CallState.CALL_STATE_CANCELED, after);
    world.dialled(number, 0);
  }
}
