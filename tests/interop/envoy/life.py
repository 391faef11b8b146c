"""Health, draining, deadlines and streams, as Envoy sees them."""

import signal
import threading
import time

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dialplane.v1 import call_pb2, call_service_pb2 as api

from .rig import Rig, Told, Wrong, check, fails, in_turn, state, until
from .web import ask_web, calls_to, info_of

NOTICE = 2.0  # seconds: `drain_notice` of the gateway that is stopped


class Aside(threading.Thread):
    """Something that is done meanwhile. `result` gives what came of it."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self._work, self._came, self._error = work, None, None
        self.start()

    def run(self) -> None:
        try:
            self._came = self._work()
        except Exception as error:  # told to who asks for the result
            self._error = error

    def result(self, patience=30.0):
        self.join(patience)
        check(not self.is_alive(), "something does not come to an end")
        if self._error:
            raise self._error
        return self._came


def wait_for_dial(rig: Rig, number: str) -> None:
    """Until that phone rang."""
    until(f"the vendor was not asked for {number}", lambda: rig.dials(number), rig.gateway.process)


def drained(rig: Rig) -> None:
    """SIGTERM: Envoy hears of it by its health check, sends nothing more, and what is under way ends well."""
    check(rig.envoy.is_healthy(), "the gateway serves, and Envoy does not find it healthy")
    number, failed = rig.number("14"), []
    under_way = Aside(lambda: rig.create([number], "drained", route="slow"))
    watching = Aside(lambda: list(rig.calls().WatchCallResults(api.WatchCallResultsRequest(request_id="drained"))))
    wait_for_dial(rig, number)
    began = time.monotonic()
    rig.gateway.process.send_signal(signal.SIGTERM)
    while rig.envoy.is_healthy():
        check(time.monotonic() - began < NOTICE, "Envoy did not hear of it within drain_notice")
        # Until it does, calls are taken: nobody is refused.
        try:
            rig.create([rig.number("00")], f"drained-{time.monotonic()}", route="mobtexting")
        except grpc.RpcError as error:
            failed.append(Told(error))
    ejected = time.monotonic() - began
    # Between the last look at its health and the last call it may have been ejected.
    check(not [told for told in failed if told.reason or "no healthy upstream" not in told.message],
          "refused while it drained:", *failed[:1])
    told = fails(lambda: rig.create([rig.number("00")], "drained-late", route="mobtexting"))
    check(told.code == grpc.StatusCode.UNAVAILABLE and not told.reason, "afterwards:", told)
    answer = under_way.result()
    check(state(answer) == "UNCONFIRMED", "what was under way:", state(answer))
    rig.gateway.process.wait(20)
    check(rig.gateway.process.returncode == 0, "the gateway ended with", rig.gateway.process.returncode)
    try:
        watching.result()
        raise Wrong("a watch of a call that is not over ended with OK")
    except grpc.RpcError as error:
        told = Told(error)
        check((told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "STOPPING"), "the watch:", told)
    rig.gateway.start_again()
    until("Envoy did not take it back", rig.envoy.is_healthy, rig.gateway.process)
    check(rig.create([number], "drained", route="slow").replayed, "the repetition is not one")
    check(rig.dials(number) == 1, "dialled:", rig.dials(number))
    rig.seen.append(f"ejected after {ejected:.1f} s")


def health_by_name(rig: Rig) -> None:
    """Clients can ask through Envoy, too."""
    stub = health_pb2_grpc.HealthStub(rig.channel())
    for name in ("", "dialplane.v1.CallService", "routes/default"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
        check(answer.status == health_pb2.HealthCheckResponse.SERVING, name, answer.status)


def aged(rig: Rig) -> None:
    """Connections that the gateway asks to end (GOAWAY) all the time: no RPC is lost, none is placed twice."""
    numbers, over, failed = [], time.monotonic() + 3.0, []

    def caller() -> None:
        while time.monotonic() < over:
            number = rig.number("00")
            numbers.append(number)
            try:
                # Without an id: a repetition would be refused, and seen here.
                rig.create([number], "", route="phonon")
            except grpc.RpcError as error:
                failed.append(Told(error))
    for each in [Aside(caller) for _ in range(4)]:
        each.result()
    check(not failed, len(failed), "of", len(numbers), "failed, such as", *failed[:1])
    rang = [dial["numbers"][0] for dial in rig.gateway.dialled()]
    check(len(rang) == len(set(rang)) == len(numbers), len(numbers), "calls,", len(rang), "dials")
    ended = rig.envoy.count("upstream_cx_close_notify")
    check(ended >= 3, "connections that were asked to end:", ended)
    rig.seen.append(f"{len(numbers)} calls over {ended} connections that were asked to end")


def deadline_of_client(rig: Rig) -> None:
    """A deadline that passes while a vendor has the call."""
    for way in ("", "gentle"):
        number, name, began = rig.number("14"), f"late-{way}", time.monotonic()
        told = fails(lambda: rig.create([number], name, way, "slow", timeout=1.0))
        took = time.monotonic() - began
        check(told.code == grpc.StatusCode.DEADLINE_EXCEEDED and 0.8 < took < 2.0, way, told, f"after {took:.1f} s")
        answer = rig.create([number], name, route="slow")
        check(answer.replayed and rig.dials(number) == 1, way, "afterwards:", state(answer), rig.dials(number))


def deadline_without_clock(rig: Rig) -> None:
    """A client that says `grpc-timeout` and does not look at the clock is told in time, and by whom it matters: the
    gateway says which request it was, Envoy just ends it."""
    for way in ("", "gentle"):
        number, began = rig.number("14"), time.monotonic()
        request = api.CreateCallsRequest(request_id=f"late-web-{way}", route="slow", calls=calls_to(number))
        code, status, _ = ask_web(rig.envoy.plain, "CreateCalls", request, api.CreateCallsResponse,
                                  grpc_timeout="1S", x_interop_way=way)
        took = time.monotonic() - began
        check(0.8 < took < 2.0, way, "status", code, f"after {took:.1f} s")
        if not way:
            check(code in (4, 504), way, "status", code)
            rig.seen.append(f"Envoy ends it with {code}")
        else:
            info = info_of(status)
            check((code, info.reason, info.metadata["request_id"]) ==
                  (4, "DEADLINE_EXCEEDED", request.request_id), code, info)
        check(rig.dials(number) == 1, way, "dialled:", rig.dials(number))


def deadline_at_gateway(rig: Rig) -> None:
    """The gateway knows the deadline: what would get its turn too late is refused at once."""
    rig.create([rig.number("00")], "paced-1", route="paced")
    number, began = rig.number("00"), time.monotonic()
    told = fails(lambda: rig.create([number], "paced-2", route="paced", timeout=2.0))
    took = time.monotonic() - began
    check((told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PACE_EXHAUSTED"), told)
    wait = told.find(error_details_pb2.RetryInfo)
    check(wait is not None and 2 < wait.retry_delay.seconds <= 60 and took < 1.5, f"after {took:.1f} s:", wait)
    check(rig.dials(number) == 0, "dialled:", rig.dials(number))


def watch(rig: Rig, way="hasty", **request):
    """A watch on a route through Envoy."""
    return rig.calls().WatchCallResults(
        api.WatchCallResultsRequest(**request), metadata=[("x-interop-way", way)], timeout=30)


def scheduled(rig: Rig, request_id: str):
    """A call that waits for an hour, and so says nothing by itself."""
    spec = call_pb2.CallSpec(to=[rig.number("00")])
    spec.start_time.FromSeconds(int(time.time()) + 3600)
    rig.calls().CreateCalls(api.CreateCallsRequest(request_id=request_id, route="mobtexting", calls=[spec]), timeout=30)


def kept_alive(rig: Rig) -> None:
    """Heartbeats keep a stream that is quiet for longer than Envoy likes."""
    scheduled(rig, "quiet-1")
    stream, beats, began = watch(rig, request_id="quiet-1", heartbeat_interval={"seconds": 1}), 0, time.monotonic()
    for message in stream:
        if message.HasField("call"):
            if message.call.state == call_pb2.CALL_STATE_CANCELED:
                break
            continue
        beats += 1
        if beats == 5:
            rig.calls().CancelCalls(api.CancelCallsRequest(request_id="quiet-1"), timeout=30)
    took = time.monotonic() - began
    check(beats >= 5 and took > 4, "heartbeats:", beats, f"in {took:.1f} s")
    check(list(stream) == [], "more after the end")


def cut_and_resumed(rig: Rig) -> None:
    """Without them it is cut, and goes on from its cursor without loss."""
    scheduled(rig, "quiet-2")
    seen, cursor, began = [], "", time.monotonic()
    stream = watch(rig, request_id="quiet-2")
    try:
        for message in stream:
            seen.append(message.call.revision)
            cursor = message.cursor
        raise Wrong("the stream ended with OK, and the call is not over")
    except grpc.RpcError as error:
        told, took = Told(error), time.monotonic() - began
    check(1.5 < took < 6 and not told.reason, told, f"after {took:.1f} s")
    rig.seen.append(f"a quiet stream ends with {told.code.name} ({told.message})")
    check(len(seen) == 1 and cursor, "seen before:", seen)
    rig.calls().CancelCalls(api.CancelCallsRequest(request_id="quiet-2"), timeout=30)
    rest = list(watch(rig, request_id="quiet-2", cursor=cursor))
    check([message.call.state for message in rest] == [call_pb2.CALL_STATE_CANCELED], "resumed:", rest)
    check(rest[0].call.revision == seen[-1] + 1, "revisions:", seen, rest[0].call.revision)


def told_of(rig: Rig) -> str:
    """What is worth knowing of it besides that it went well."""
    return "; ".join(rig.seen)


def health(tools, binary, folder) -> str:
    """`health`."""
    with Rig(tools, binary, folder, f'drain_notice = "{NOTICE:.0f}s"') as rig:
        in_turn(rig, health_by_name, drained)
        return told_of(rig)


def goaway(tools, binary, folder) -> str:
    """`goaway`."""
    limits = 'limits = { connection_age = "300ms", connection_grace = "5s" }'
    with Rig(tools, binary, folder, limits) as rig:
        in_turn(rig, aged)
        return told_of(rig)


def deadline(tools, binary, folder) -> str:
    """`deadline`."""
    with Rig(tools, binary, folder) as rig:
        in_turn(rig, deadline_of_client, deadline_without_clock, deadline_at_gateway)
        return told_of(rig)


def stream(tools, binary, folder) -> str:
    """`stream`."""
    with Rig(tools, binary, folder) as rig:
        in_turn(rig, kept_alive, cut_and_resumed)
        return told_of(rig)
