"""That nobody is dialled twice, whatever Envoy repeats by itself."""

import threading
import time

import grpc

from .rig import Rig, Told, check, fails, in_turn, state, until

UNKNOWN_STATES = ("UNCONFIRMED", "ACCEPTED", "ANSWERED")


def with_id(rig: Rig) -> None:
    """Tries that are cut short and repeated meet the first one, and the answer is found later."""
    number, before = rig.number("14"), rig.envoy.count("upstream_rq_per_try_timeout")
    told = fails(lambda: rig.create([number], "never-14", "impatient", "slow"))
    check(told.reason == "", "Envoy gave up, and the client was told by somebody else:", told)
    check(told.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), told)
    fired = rig.envoy.count("upstream_rq_per_try_timeout") - before
    check(fired == 4, "tries that took too long for Envoy:", fired)
    answer = rig.create([number], "never-14", "", "slow")
    check(answer.replayed and state(answer) in UNKNOWN_STATES, "afterwards:", state(answer), answer.replayed)
    check(rig.dials(number) == 1, "dialled:", rig.dials(number))


def without_id(rig: Rig) -> None:
    """The second try says that it is one, and is refused: the client is told of the doubt."""
    number = rig.number("14")
    told = fails(lambda: rig.create([number], "", "impatient", "slow"))
    check((told.code, told.reason, told.dialed) ==
          (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_ID_REQUIRED", "maybe"), told)
    check(rig.dials(number) == 1, "dialled:", rig.dials(number))


def hedged(rig: Rig) -> None:
    """Tries that run at the same time join each other, or are refused."""
    number, unnamed = rig.number("14"), rig.number("14")
    answer = rig.create([number], "never-hedged", "hedged", "slow")
    check(state(answer) in UNKNOWN_STATES, "with an id:", state(answer))
    check(rig.dials(number) == 1, "dialled with an id:", rig.dials(number))
    # The first answer counts for Envoy: here it is that of the try that was refused.
    told = fails(lambda: rig.create([unnamed], "", "hedged", "slow"))
    check((told.reason, told.dialed) == ("REQUEST_ID_REQUIRED", "maybe"), "without an id:", told)
    check(rig.dials(unnamed) == 1, "dialled without an id:", rig.dials(unnamed))


def every_answer_repeated(rig: Rig) -> None:
    """A rule that repeats whatever comes back, also what went well."""
    for ending, route, rings, with_state in (
            ("00", "mobtexting", 1, "ACCEPTED"), ("13", "mobtexting", 0, "UNCONFIRMED"),
            ("15", "mobtexting", 1, "UNCONFIRMED"), ("00", "phonon", 1, "ACCEPTED")):
        number, before = rig.number(ending), rig.envoy.count("upstream_rq_retry")
        answer = rig.create([number], f"never-{route}-{ending}", "insatiable", route)
        repeated = rig.envoy.count("upstream_rq_retry") - before
        check(repeated == 3, ending, "was repeated by Envoy:", repeated)
        check(answer.replayed, ending, "is the answer to a repetition, and does not say so")
        check(state(answer) == with_state, ending, "with an id:", state(answer))
        check(rig.dials(number) == rings, ending, "dialled with an id:", rig.dials(number))
        number = rig.number(ending)
        told = fails(lambda: rig.create([number], "", "insatiable", route))
        check((told.reason, told.dialed) == ("REQUEST_ID_REQUIRED", "maybe"), ending, "without an id:", told)
        check(rig.dials(number) == rings, ending, "dialled without an id:", rig.dials(number))


def two_sidecars(rig: Rig) -> None:
    """Of two Envoys that count, the second one's count is all that arrives: with an id, no harm is done."""
    number = rig.number("14")
    told = fails(lambda: rig.create([number], "never-chained", "", "slow", rig.envoy.chained))
    check(told.reason == "", told)
    check(rig.envoy.count("upstream_rq_retry", "plain_listener") == 3, "the first Envoy did not try four times")
    answer = rig.create([number], "never-chained", "", "slow")
    check(answer.replayed and state(answer) in UNKNOWN_STATES, "afterwards:", state(answer))
    check(rig.dials(number) == 1, "dialled:", rig.dials(number))


def ids_required(rig: Rig) -> None:
    """What keeps the same from being dialled four times without an id, as nobody can tell the tries apart there."""
    number = rig.number("14")
    told = fails(lambda: rig.create([number], "", "", "slow", rig.envoy.chained))
    check((told.code, told.reason, told.dialed) ==
          (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REQUIRED", "no"), told)
    check(rig.dials(number) == 0, "dialled:", rig.dials(number))


def killed(rig: Rig) -> None:
    """The gateway is killed while a vendor has the call, and is there again while Envoy still tries."""
    for name in ("never-killed", ""):
        for attempt in range(5):
            number, request_id = rig.number("14"), name and f"{name}-{attempt}"
            told = killed_once(rig, number, request_id)
            check(rig.dials(number) == 1, "dialled:", rig.dials(number))
            # Where the machine was slow, Envoy noticed before the gateway was back.
            if not isinstance(told, Told) or told.reason or "no healthy upstream" not in told.message:
                break
        if name:
            check(not isinstance(told, Told), "with an id:", told)
            check(told.replayed and state(told) in UNKNOWN_STATES, "with an id:", state(told), told.replayed)
        else:
            check(isinstance(told, Told) and told.reason == "REQUEST_ID_REQUIRED" and told.dialed == "maybe",
                  "without an id:", told)


def killed_once(rig: Rig, number: str, request_id: str):
    """Kills the gateway as soon as that phone rang. Gives what the client was told."""
    ended = []

    def place():
        try:
            ended.append(rig.create([number], request_id, "stubborn", "slow"))
        except grpc.RpcError as error:
            ended.append(Told(error))
    until("Envoy does not find the gateway healthy", rig.envoy.is_healthy, rig.gateway.process)
    caller = threading.Thread(target=place)
    caller.start()
    deadline = time.monotonic() + 10
    while not rig.dials(number):
        check(time.monotonic() < deadline, "the vendor was not asked")
        time.sleep(0.01)
    rig.gateway.kill()
    rig.gateway.start_again()
    caller.join(20)
    check(len(ended) == 1, "the client was told nothing")
    return ended[0]


class Storm:
    """Callers that go on while the gateway is killed, and what they were told last of each number."""

    # Fewer that fail than would open the vendor's breaker.
    ENDINGS = ("00", "13", "00", "15", "00", "10", "00")
    WAYS = ("", "impatient", "insatiable", "stubborn", "")
    ROUTES = ("mobtexting", "phonon", "knovvu")

    def __init__(self, rig: Rig):
        self.rig, self.told, self._over = rig, [], threading.Event()

    def _caller(self, index: int) -> None:
        made = 0
        while not self._over.is_set():
            made += 1
            number = self.rig.number(self.ENDINGS[(made + index) % len(self.ENDINGS)])
            route = self.ROUTES[made % len(self.ROUTES)]
            way, named = self.WAYS[(made + index) % len(self.WAYS)], (made + index) % 3 != 0
            request_id = f"storm-{index}-{made}" if named else ""
            # One that has an id is repeated until it is known; one that has none is not, whatever is told.
            for _ in range(100 if named else 1):
                try:
                    last = self.rig.create([number], request_id, way, route, timeout=10.0)
                    break
                except grpc.RpcError as error:
                    last = Told(error)
                    if last.reason not in ("", "STOPPING", "BEING_PLACED", "LEDGER_UNAVAILABLE"):
                        break
                    time.sleep(0.05)
            self.told.append((number, request_id, last))

    def run(self, kills: int) -> None:
        """Callers, and a gateway that is killed so often."""
        callers = [threading.Thread(target=self._caller, args=(index,)) for index in range(6)]
        for caller in callers:
            caller.start()
        for turn in range(kills):
            time.sleep(0.4 + 0.13 * turn)
            self.rig.gateway.kill()
            self.rig.gateway.start_again()
        time.sleep(0.4)
        self._over.set()
        for caller in callers:
            caller.join(30)
            check(not caller.is_alive(), "a caller does not come to an end")

    def judge(self) -> str:
        """Holds what the clients were told against what rang."""
        rang: dict[str, int] = {}
        for dial in self.rig.gateway.dialled():
            number = f"+{dial['numbers'][0]}"
            rang[number] = rang.get(number, 0) + 1
        twice = {number: count for number, count in rang.items() if count > 1}
        check(not twice, "dialled more than once:", twice)
        for number, request_id, told in self.told:
            dialled = rang.get(number, 0)
            if isinstance(told, Told):
                check(not (told.dialed == "no" and dialled), number, "was dialled, and the client was told:", told)
                check(not request_id or told.reason, number, "nothing certain was told in the end:", told)
            elif state(told) in ("ACCEPTED", "ANSWERED"):
                check(dialled == 1, number, "is", state(told), "and was dialled:", dialled)
            elif state(told) == "FAILED":
                check(not dialled, number, "is FAILED, and was dialled")
        return f"{len(self.told)} requests, {len(rang)} phones"


def scenario(tools, binary, folder) -> str:
    """`never-twice`."""
    with Rig(tools, binary, folder) as rig:
        in_turn(rig, with_id, without_id, hedged, two_sidecars)
    # Another one, for a vendor that left so many without an answer is left alone.
    with Rig(tools, binary, folder / "killed") as rig:
        in_turn(rig, every_answer_repeated, killed)
        storm = Storm(rig)
        storm.run(4)
        seen = storm.judge()
    with Rig(tools, binary, folder / "ids-required", "require_request_id = true") as rig:
        in_turn(rig, ids_required)
    return seen
