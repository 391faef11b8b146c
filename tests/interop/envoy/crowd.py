"""Many clients in one connection: Envoy has few to the gateway, and whatever one client does there concerns all."""

import threading
import time

import grpc

from dialplane.v1 import call_service_pb2 as api, call_service_pb2_grpc as stubs

from .rig import Rig, Told, check, fails, in_turn, state

CALM = "limits = { pending_resets = 10000 }"


class Bystanders:
    """Callers who do nothing wrong, each in a connection of its own. Use it in a `with` statement."""

    def __init__(self, rig: Rig, count=2):
        self._rig, self._over = rig, threading.Event()
        self._threads = [threading.Thread(target=self._caller) for _ in range(count)]
        self.went, self.failed = 0, []

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _caller(self) -> None:
        with self._rig.connect() as channel:
            stub = stubs.CallServiceStub(channel)
            while not self._over.is_set():
                try:
                    stub.ListVendors(api.ListVendorsRequest(), timeout=20, metadata=[("x-interop-way", "gentle")])
                    self.went += 1
                except grpc.RpcError as error:
                    self.failed.append(str(Told(error)))


def gives_up(rig: Rig) -> None:
    """A client that gives up RPCs as fast as Envoy lets it: nobody else's are cut."""
    with Bystanders(rig) as others:
        over, given_up = time.monotonic() + 3.0, 0
        while time.monotonic() < over:
            # Envoy itself cuts who has given up 500.
            with rig.connect() as channel:
                stub = stubs.CallServiceStub(channel)
                for _ in range(30):
                    streams = [stub.WatchCallResults(api.WatchCallResultsRequest(request_id="nobody"))
                               for _ in range(15)]
                    time.sleep(0.002)  # so that they are on their way
                    for stream in streams:
                        stream.cancel()
                    given_up += len(streams)
    reached = rig.envoy.count("upstream_rq_tx_reset")
    check(reached > 500, "given up at the gateway:", reached)
    check(others.went > 10 and not others.failed, len(others.failed), "RPCs of others failed:", others.failed[:1])
    cut = rig.envoy.count("upstream_cx_destroy_remote_with_active_rq")
    check(cut == 0, "connections that the gateway cut:", cut)
    rig.seen.append(f"{given_up} given up, {reached} of them at the gateway, {others.went} others went well")


def too_many_headers(rig: Rig) -> None:
    """Metadata beyond `header_bytes` fails its own RPC and no other, in the same connection."""
    with Bystanders(rig) as others:
        for size, taken in ((12_000, True), (20_000, False), (50_000, False)):
            def ask(size=size):
                return rig.calls().ListVendors(api.ListVendorsRequest(), timeout=10, metadata=[("x-large", "a" * size)])
            if taken:
                ask()
            else:
                told = fails(ask)
                check(not told.reason and "431" in told.message, size, told)
                rig.seen.append(told.code.name)
    check(others.went and not others.failed, "others:", others.failed[:1])


def watching(rig: Rig) -> None:
    """More streams than a connection has: Envoy opens further ones."""
    channels = [rig.connect() for _ in range(3)]
    try:
        streams = [
            stubs.CallServiceStub(channel).WatchCallResults(
                api.WatchCallResultsRequest(request_id="nobody", heartbeat_interval={"seconds": 1}), timeout=60)
            for channel in channels for _ in range(500)]
        for stream in streams:
            next(stream)
        check(rig.envoy.count("upstream_cx_active") >= 2, "connections:", rig.envoy.count("upstream_cx_active"))
        number = rig.number("00")
        rig.create([number], "among-many", route="mobtexting")
        check(rig.dials(number) == 1, "dialled:", rig.dials(number))
        rig.seen.append(f"{len(streams)} watches in {rig.envoy.count('upstream_cx_active')} connections")
    finally:
        for channel in channels:
            channel.close()


def through_socket(rig: Rig) -> None:
    """A call, and its repetition."""
    number = rig.number("00")
    check(state(rig.create([number], "socket-1", route="mobtexting")) == "ACCEPTED", "the call was not accepted")
    check(rig.create([number], "socket-1", "insatiable", "mobtexting").replayed, "the repetition is not one")
    check(rig.dials(number) == 1, "dialled:", rig.dials(number))


def cancelled(tools, binary, folder) -> str:
    """`cancelled`."""
    with Rig(tools, binary, folder, CALM) as rig:
        in_turn(rig, gives_up)
        return "; ".join(rig.seen)


def headers(tools, binary, folder) -> str:
    """`headers`."""
    with Rig(tools, binary, folder) as rig:
        in_turn(rig, too_many_headers)
        return "; ".join(rig.seen)


def watchers(tools, binary, folder) -> str:
    """`crowd`."""
    with Rig(tools, binary, folder) as rig:
        in_turn(rig, watching)
        return "; ".join(rig.seen)


def on_socket(tools, binary, folder) -> str:
    """`socket`: the gateway of a sidecar listens on a Unix socket."""
    with Rig(tools, binary, folder, listen=f"unix:{folder}/s") as rig:
        in_turn(rig, through_socket)
    return ""
