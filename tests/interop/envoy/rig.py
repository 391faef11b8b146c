"""A gateway with simulated vendors behind it and Envoy in front of it, and a client for the scenarios here."""

import os
import signal
import threading
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from dialplane.v1 import call_pb2, call_service_pb2 as api, call_service_pb2_grpc as stubs
from runner import processes
from runner.gateway import Gateway

from .proxy import Envoy, free_port
from .tools import Tools

State = call_pb2.CallState


class Wrong(Exception):
    """A scenario saw something else than it should."""


def check(holds: bool, *what) -> None:
    """Fails the scenario, and says what was seen."""
    if not holds:
        raise Wrong(" ".join(str(part) for part in what))


class Restarted(Gateway):
    """A gateway that can be killed, and started again on the same address and ledger."""

    def __init__(self, binary: Path, folder: Path, server="", listen=""):
        super().__init__(binary, folder, listen=listen or f"127.0.0.1:{free_port()}", server=server)

    @property
    def process(self):
        """The gateway that runs now, or ran last."""
        return self._processes[-1]

    def kill(self) -> None:
        """Ends it without a word."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def start_again(self) -> None:
        """The next one, once the one before has ended."""
        log = self.folder / "gateway.log"
        log.rename(self.folder / f"gateway-{len(self._processes)}.log")
        self._start_gateway()


class Rig:
    """Use it in a `with` statement. `server` are lines of the gateway's `[server]`, `listen` is its address."""

    _numbers = 0
    _lock = threading.Lock()

    def __init__(self, tools: Tools, binary: Path, folder: Path, server="", listen=""):
        self.gateway = Restarted(binary, folder, server, listen)
        self._made = (tools, folder)

    def __enter__(self):
        self.gateway.__enter__()
        try:
            self.envoy = Envoy(*self._made, gateway=self.gateway.address).__enter__()
        except BaseException:
            self.gateway.__exit__()
            raise
        self._channels: dict[str, grpc.Channel] = {}
        self.seen: list[str] = []  # what is told besides ok
        return self

    def __exit__(self, *_):
        for channel in self._channels.values():
            channel.close()
        self.envoy.__exit__()
        self.gateway.__exit__()

    def channel(self, address: str = "") -> grpc.Channel:
        """A connection to Envoy, or to that address. It repeats nothing by itself."""
        address = address or self.envoy.plain
        if address not in self._channels:
            self._channels[address] = self.connect(address)
        return self._channels[address]

    def connect(self, address: str = "") -> grpc.Channel:
        """A connection to Envoy that nobody else has. Who asks for it closes it."""
        return grpc.insecure_channel(address or self.envoy.plain, [
            ("grpc.enable_retries", 0), ("grpc.max_receive_message_length", 64 << 20),
            ("grpc.use_local_subchannel_pool", 1)])

    def calls(self, address: str = "") -> stubs.CallServiceStub:
        """The service through that connection."""
        return stubs.CallServiceStub(self.channel(address))

    def create(self, numbers, request_id="", way="", route="", address="", timeout=30.0, **more):
        """CreateCalls for one call to each number; `way` is the route through Envoy (x-interop-way)."""
        request = api.CreateCallsRequest(
            request_id=request_id, route=route, calls=[call_pb2.CallSpec(to=[number]) for number in numbers], **more)
        metadata = [("x-interop-way", way)] if way else []
        return self.calls(address).CreateCalls(request, timeout=timeout, metadata=metadata)

    def number(self, ending: str) -> str:
        """One that nobody has called yet, with these two digits at its end."""
        with Rig._lock:
            Rig._numbers += 1
            return f"+9199{Rig._numbers:06}{ending}"

    def dials(self, number: str) -> int:
        """How often that phone rang."""
        return len(self.gateway.dialled(number))


class Told:
    """What an RPC that failed tells: its code, message and typed details."""

    def __init__(self, error: grpc.RpcError):
        self.code, self.message = error.code(), error.details()
        status = rpc_status.from_call(error)
        self.details = list(status.details) if status else []
        self.info = self.find(error_details_pb2.ErrorInfo) or error_details_pb2.ErrorInfo()
        # Empty where something between here and the gateway answered.
        self.reason, self.dialed = self.info.reason, self.info.metadata.get("dialed", "")

    def find(self, kind):
        """The detail of that type, if there is one."""
        for detail in self.details:
            if detail.Is(kind.DESCRIPTOR):
                found = kind()
                detail.Unpack(found)
                return found
        return None

    def __str__(self):
        return f"{self.code.name} {self.reason or '(no details)'} dialed={self.dialed or '?'}: {self.message}"


def fails(call) -> Told:
    """What is told by an RPC that has to fail."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return Told(error)
    raise Wrong("went well, and should not have:", str(answer)[:300])


def state(answer) -> str:
    """The state of the one call of an answer, without its prefix."""
    check(len(answer.calls) == 1, "calls in the answer:", len(answer.calls))
    return State.Name(answer.calls[0].state).removeprefix("CALL_STATE_")


def until(what: str, holds, process, patience=15.0) -> None:
    """Waits until something holds."""
    try:
        processes.wait_for(what, holds, process, patience)
    except processes.Failed as failed:
        raise Wrong(str(failed)) from None


def in_turn(rig: Rig, *parts) -> None:
    """Runs parts of a scenario, and says in which one something was wrong."""
    for part in parts:
        try:
            part(rig)
        except grpc.RpcError as error:
            raise Wrong(f"{part.__name__}: {Told(error)}") from error
        except (Wrong, processes.Failed) as error:
            raise Wrong(f"{part.__name__}: {error}") from error
