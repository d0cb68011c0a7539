"""The client against a server that plays one script per stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from scripted_server import MODEL, Conversation, Over, Script, ScriptedServer, arrays_of

import aegis_fl
from aegis_fl import _wire

Serve = Callable[..., aegis_fl.Client]


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[aegis_fl.Client, ScriptedServer]]]:
    """A client of a server that plays these scripts. The scripts must have come to their end."""
    servers: list[ScriptedServer] = []

    def start(*scripts: Script, **options: Any) -> tuple[aegis_fl.Client, ScriptedServer]:
        server = ScriptedServer(*scripts)
        servers.append(server)
        client = aegis_fl.Client(server.address, insecure=True, **options)

        @client.train
        def train(model, config):
            return {name: np.asarray(array + 1, array.dtype) for name, array in model.items()}, {
                "num_examples": 30,
                "loss": np.float32(0.5),
            }

        return client, server

    yield start
    for server in servers:
        server.stop()


def one_task(conversation: Conversation) -> None:
    conversation.welcome()
    one_task_after_welcome(conversation)


def one_task_after_welcome(conversation: Conversation) -> None:
    body = conversation.offer()
    conversation.hear("task_accepted")
    conversation.serve_model(body)
    submit, parts = conversation.take_update()
    for name, array in arrays_of(submit, parts).items():
        np.testing.assert_array_equal(array, MODEL[name] + 1)
    conversation.accept()
    conversation.hear("leave")


def test_consent_is_said_whole_with_every_connection_and_again_where_it_could_not_be_kept(serve, monkeypatch, capsys) -> None:
    monkeypatch.setattr("aegis_fl.consent.AGAIN_SECONDS", 0.01)

    def first(conversation: Conversation) -> None:
        conversation.welcome(takes_purposes=True)
        said, _ = conversation.hear("purposes")
        assert [(one.name, one.version) for one in said.given] == [("ecg", "2026-11"), ("icu.beds", "3")]
        conversation.say(refusal={"request_id": said.request_id, "code": "UNAVAILABLE", "detail": "Not now.", "again": True})
        conversation.hear("purposes")
        raise Over(grpc.StatusCode.UNAVAILABLE)

    def second(conversation: Conversation) -> None:
        conversation.welcome(takes_purposes=True)
        said, _ = conversation.hear("purposes")
        conversation.say(purposes_kept={"request_id": said.request_id})
        one_task_after_welcome(conversation)

    client, server = serve(first, second, consent={"ecg": "2026-11", "icu.beds": "3"})
    assert [outcome.accepted for outcome in client.run(rounds=1)] == [True]
    server.check()
    said = capsys.readouterr().err
    assert "consent was not kept: Not now. [UNAVAILABLE]" in said
    assert "consent is kept by the server: ecg 2026-11, icu.beds 3" in said


def test_consent_is_not_said_to_a_server_that_does_not_know_it_nor_when_there_is_none(serve, capsys) -> None:
    for takes, options, words in ((False, {"consent": {"ecg": "1"}}, "knows no consent"), (True, {}, "")):

        def script(conversation: Conversation, takes: bool = takes) -> None:
            conversation.welcome(takes_purposes=takes)
            one_task_after_welcome(conversation)

        client, server = serve(script, **options)
        client.run(rounds=1)
        server.check()
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("consent", [{"ECG": "1"}, {"ecg": ""}, {"ecg": "a b"}, {"": "1"}])
def test_consent_that_no_plan_can_ask_for_is_refused_at_once(consent) -> None:
    with pytest.raises(ValueError, match="version of its text"):
        aegis_fl.Client("localhost:9443", insecure=True, consent=consent)


def test_an_invitation_is_shown_with_every_hello_and_a_refused_one_is_named(serve) -> None:
    shown = []

    def script(conversation: Conversation) -> None:
        conversation.welcome()
        shown.append(conversation.invitation)
        conversation.hear("leave")

    for options in ({"invitation": "aegis-invite-A"}, {}, {"invitation": None}):
        client, _ = serve(script, **options)
        client.run(idle=2)  # connecting takes some of it
    assert shown == ["aegis-invite-A", "", ""]

    def refuse(conversation: Conversation) -> None:
        conversation.say(challenge={"nonce": b"n" * 32})
        conversation.hear("hello")
        raise Over(grpc.StatusCode.UNAUTHENTICATED, "The invitation lets nobody in.", "INVITATION_REFUSED")

    client, _ = serve(refuse, invitation="aegis-invite-A")
    with pytest.raises(aegis_fl.NotEnrolled, match="aegis nodes invite") as raised:
        client.run()
    assert "aegis-invite-A" not in str(raised.value)


def test_task_is_trained_and_handed_in_with_the_weight_under_the_runs_own_key(serve) -> None:
    metrics = {}

    def script(conversation: Conversation) -> None:
        conversation.welcome()
        body = conversation.offer(
            config=[{"key": "lr", "value": {"real": 0.5}}, {"key": "layers", "value": {"integers": {"values": [2, 3]}}}]
        )
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        submit, _ = conversation.take_update()
        metrics.update({entry.key: entry.value for entry in submit.metrics})
        conversation.accept()
        conversation.hear("leave")

    client, server = serve(script)
    seen = {}

    @client.train
    def train(model, config):
        seen.update(config, round=config.round, run_id=config.run_id, kind=config.kind, left=config.seconds_left)
        return model, {"num_examples": 30, "loss": np.float32(0.5)}

    (outcome,) = client.run(rounds=1)

    server.check()
    assert outcome.accepted and outcome.metrics == {"num-examples": 30, "loss": np.float32(0.5)}
    assert metrics["num-examples"].integer == 30 and metrics["loss"].real == 0.5
    assert seen == {"lr": 0.5, "layers": [2, 3], "round": 1, "run_id": 5, "kind": "train", "left": float("inf")}


def test_after_a_lost_stream_only_the_missing_parts_are_sent_again(serve) -> None:
    big = {"w": np.random.default_rng(1).standard_normal((512, 512)).astype(np.float32)}
    stored: dict[str, bytes] = {}
    again: list[str] = []

    def dies_in_the_middle(conversation: Conversation) -> None:
        conversation.welcome(max_part=64 << 10)
        body = conversation.offer(model=big)
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        begin, _ = conversation.hear("begin_update")
        conversation.say(missing_parts={"task_id": "t1", "part_ids": begin.part_ids})
        for _ in range(5):
            conversation.take_part(stored)
        raise Over(grpc.StatusCode.UNAVAILABLE, "killed")

    def goes_on(conversation: Conversation) -> None:
        conversation.welcome(max_part=64 << 10)  # the task is not offered again: the client goes on by itself
        before = set(stored)
        submit, parts = conversation.take_update(stored=stored)
        again.extend(set(parts) - before)
        np.testing.assert_array_equal(arrays_of(submit, parts)["w"], big["w"] + 1)
        conversation.accept()
        conversation.hear("leave")

    client, server = serve(dies_in_the_middle, goes_on)
    outcomes = client.run(rounds=1)

    server.check()
    assert [outcome.accepted for outcome in outcomes] == [True]
    assert len(stored) == 17 and len(again) == 12


def test_stream_lost_after_submit_gets_its_verdict_over_the_next(serve) -> None:
    submits = []

    def dies_before_the_verdict(conversation: Conversation) -> None:
        conversation.welcome()
        body = conversation.offer()
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        submits.append(conversation.take_update())
        raise Over(grpc.StatusCode.INTERNAL, "gone")

    def says_it_again(conversation: Conversation) -> None:
        conversation.welcome()
        submits.append(conversation.take_update(stored=dict(submits[0][1])))
        conversation.accept()
        conversation.hear("leave")

    client, server = serve(dies_before_the_verdict, says_it_again)
    (outcome,) = client.run(rounds=1)

    server.check()
    assert outcome.accepted
    assert submits[0][0] == submits[1][0]


def test_model_goes_on_where_the_lost_stream_left_it(serve) -> None:
    big = {"w": np.arange(3 << 20, dtype=np.float32)}  # 12 MB: four requests
    offsets: list[int] = []

    def dies_in_the_middle(conversation: Conversation) -> None:
        conversation.welcome()
        body = conversation.offer(model=big)
        conversation.hear("task_accepted")
        for _ in range(2):
            asked, _ = conversation.hear("read_model")
            conversation.answer_read(asked, body)
        conversation.hear("read_model")
        raise Over(grpc.StatusCode.UNAVAILABLE, "killed")

    def goes_on(conversation: Conversation) -> None:
        conversation.welcome()
        body = conversation.offer(model=big)
        for _ in range(3):  # the task is accepted again while its requests are under way
            asked, _ = conversation.hear("read_model", "task_accepted")
            if asked.DESCRIPTOR.name == "ReadModel":
                offsets.append(asked.offset)
                conversation.answer_read(asked, body)
        submit, parts = conversation.take_update()
        np.testing.assert_array_equal(arrays_of(submit, parts)["w"], big["w"] + 1)
        conversation.accept()
        conversation.hear("leave")

    client, server = serve(dies_in_the_middle, goes_on)
    (outcome,) = client.run(rounds=1)

    server.check()
    assert outcome.accepted
    assert sorted(offsets) == [8 << 20, 12 << 20]


def test_no_more_than_the_window_is_sent_without_an_acknowledgement(serve) -> None:
    big = {"w": np.random.default_rng(1).standard_normal((256, 256)).astype(np.float32)}  # 256 KiB

    def script(conversation: Conversation) -> None:
        conversation.welcome(max_part=16 << 10, window=40 << 10)
        body = conversation.offer(model=big)
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        begin, _ = conversation.hear("begin_update")
        conversation.say(missing_parts={"task_id": "t1", "part_ids": begin.part_ids})
        parts = [conversation.hear("part") for _ in range(2)]  # a third would be 48 KiB
        conversation.hear_nothing(0.3)
        for _ in begin.part_ids[2:]:
            part, _ = parts.pop(0)
            conversation.say(part_stored={"task_id": "t1", "part_id": part.part_id})
            parts.append(conversation.hear("part"))
        for part, _ in parts:
            conversation.say(part_stored={"task_id": "t1", "part_id": part.part_id})
        conversation.hear("submit")
        conversation.accept()
        conversation.hear("leave")

    client, server = serve(script)
    client.run(rounds=1)
    server.check()


def test_refused_for_now_is_asked_again_on_the_same_stream(serve) -> None:
    def script(conversation: Conversation) -> None:
        def later(**about: Any) -> None:
            conversation.say(refusal={"code": "DISK_FULL", "detail": "soon", "again": True, **about})

        conversation.welcome()
        body = conversation.offer()
        conversation.hear("task_accepted")
        asked, _ = conversation.hear("read_model")
        later(request_id=asked.request_id)
        conversation.serve_model(body)
        conversation.hear("begin_update")
        later(task_id="t1")
        begin, _ = conversation.hear("begin_update")
        conversation.say(missing_parts={"task_id": "t1", "part_ids": begin.part_ids})
        part, _ = conversation.hear("part")
        later(task_id="t1", part_id=part.part_id)
        conversation.take_part({})
        conversation.hear("submit")
        later(task_id="t1")
        conversation.hear("submit")
        conversation.accept()
        conversation.hear("leave")

    client, server = serve(script)
    (outcome,) = client.run(rounds=1)
    server.check()
    assert outcome.accepted


def test_withdrawn_task_tells_the_function_and_sends_nothing(serve) -> None:
    training = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.welcome()
        body = conversation.offer()
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        assert training.wait(10)
        conversation.say(task_withdrawn={"task_id": "t1", "reason": "the round is closed"})
        conversation.hear("fail_task")  # the node is free again
        conversation.hear("leave")

    client, server = serve(script)

    @client.train
    def train(model, config):
        training.set()
        while True:
            config.raise_if_cancelled()
            client.stop()

    (outcome,) = client.run()
    server.check()
    assert (outcome.accepted, outcome.code) == (False, "TASK_CANCELLED")
    assert "the round is closed" in outcome.detail


def test_late_answers_to_a_withdrawn_task_do_not_touch_the_next(serve) -> None:
    def script(conversation: Conversation) -> None:
        conversation.welcome()
        conversation.offer("t1")
        conversation.hear("task_accepted")
        stale, _ = conversation.hear("read_model")
        conversation.say(task_withdrawn={"task_id": "t1"})
        conversation.hear("fail_task")
        body = conversation.offer("t2")
        conversation.hear("task_accepted")
        conversation.say(refusal={"request_id": stale.request_id, "code": "TASK_NOT_FOUND"})
        conversation.say(refusal={"task_id": "t2", "code": "UNAVAILABLE", "again": True})  # of its TaskAccepted
        conversation.serve_model(body)
        conversation.take_update("t2")
        conversation.accept("t2")
        conversation.hear("leave")

    client, server = serve(script)
    first, second = client.run(rounds=2)
    server.check()
    assert (first.code, second.accepted) == ("TASK_CANCELLED", True)


def test_withdrawal_that_overtakes_the_verdict_changes_nothing(serve) -> None:
    def script(conversation: Conversation) -> None:
        conversation.welcome()
        body = conversation.offer()
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        conversation.take_update()
        conversation.say(task_withdrawn={"task_id": "t1", "reason": "answered"})
        conversation.accept()
        conversation.hear("leave")

    client, server = serve(script)
    (outcome,) = client.run(rounds=1)
    server.check()
    assert outcome.accepted


def test_heartbeats_go_on_while_the_function_works(serve) -> None:
    beats = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.welcome(heartbeat=1)
        body = conversation.offer()
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        for _ in range(3):
            conversation.hear("heartbeat")
        beats.set()
        conversation.take_update()
        conversation.accept()
        conversation.hear("leave")

    client, server = serve(script)

    @client.train
    def train(model, config):
        assert beats.wait(20)
        return model, {"num_examples": 1}

    client.run(rounds=1)
    server.check()


def test_going_away_server_is_met_again_after_the_time_it_asked_for(serve) -> None:
    def goes(conversation: Conversation) -> None:
        conversation.welcome()
        conversation.say(go_away={"after_seconds": 0.2, "reason": "restarting"})

    client, server = serve(goes, one_task)
    (outcome,) = client.run(rounds=1)
    server.check()
    assert outcome.accepted


def test_ctrl_c_in_the_function_fails_the_task_and_leaves(serve) -> None:
    def script(conversation: Conversation) -> None:
        conversation.welcome()
        body = conversation.offer()
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        failed, _ = conversation.hear("fail_task")
        assert failed.task_id == "t1"
        conversation.hear("leave")

    client, server = serve(script)

    @client.train
    def train(model, config):
        raise KeyboardInterrupt

    assert client.run() == []
    server.check()


def test_exception_of_the_function_is_raised_and_its_text_stays_at_home(serve) -> None:
    def script(conversation: Conversation) -> None:
        conversation.welcome()
        body = conversation.offer()
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        failed, _ = conversation.hear("fail_task")
        assert failed.reason == "ZeroDivisionError in train"
        conversation.hear("leave")

    client, server = serve(script)

    @client.train
    def train(model, config):
        raise ZeroDivisionError("patient 17")

    with pytest.raises(ZeroDivisionError, match="patient 17"):
        client.run()
    server.check()


def test_after_an_exception_the_next_task_is_done_if_wanted(serve) -> None:
    def script(conversation: Conversation) -> None:
        conversation.welcome()
        for task in ("t1", "t2"):
            body = conversation.offer(task)
            conversation.hear("task_accepted")
            conversation.serve_model(body)
            if task == "t1":
                conversation.hear("fail_task")
        conversation.take_update("t2")
        conversation.accept("t2")
        conversation.hear("leave")

    client, server = serve(script)
    calls = []

    @client.train
    def train(model, config):
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return model, {"num_examples": 1}

    first, second = client.run(rounds=2, on_error="continue")
    server.check()
    assert (first.accepted, first.code, second.accepted) == (False, "FUNCTION_RAISED", True)


@pytest.mark.parametrize(
    ("returned", "code", "words"),
    [
        (lambda model: model, "ANSWER_INVALID", "must return (model, metrics)"),
        (lambda model: (model, {"loss": 1.0}), "UPDATE_WEIGHT", "num-examples"),
        (lambda model: (model, {"num_examples": "many"}), "UPDATE_METRICS", "'many'"),
        (lambda model: ({"w": model["w"]}, {"num_examples": 1}), "UPDATE_TENSORS", "lacks 'b', 'steps'"),
        (lambda model: ({**model, "x": 1}, {"num_examples": 1}), "UPDATE_TENSORS", "unknown 'x'"),
        (lambda model: ({**model, "w": model["w"].T}, {"num_examples": 1}), "UPDATE_TENSORS", "shape (3, 2), the model's has (2, 3)"),
        (
            lambda model: ({**model, "w": model["w"].astype(float)}, {"num_examples": 1}),
            "UPDATE_TENSORS",
            "'w' is float64, the model's is float32",
        ),
    ],
)
def test_answer_that_cannot_be_sent_is_named_before_anything_is_sent(serve, returned, code, words) -> None:
    def script(conversation: Conversation) -> None:
        conversation.welcome()
        body = conversation.offer()
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        failed, _ = conversation.hear("fail_task")
        assert failed.reason == code
        conversation.hear("leave")

    client, server = serve(script)
    client.train(lambda model, config: returned(model))
    with pytest.raises(aegis_fl.AnswerInvalid) as raised:
        client.run()
    server.check()
    assert raised.value.code == code and words in str(raised.value)


def test_refused_update_is_raised_and_a_late_one_is_not(serve) -> None:
    def script(conversation: Conversation) -> None:
        conversation.welcome()
        for task, verdict in (("t1", ("TASK_CLOSED", "")), ("t2", ("UPDATE_NOT_FINITE", "The tensor w has NaN."))):
            body = conversation.offer(task)
            conversation.hear("task_accepted")
            conversation.serve_model(body)
            conversation.take_update(task)
            conversation.say(verdict={"task_id": task, "accepted": False, "code": verdict[0], "detail": verdict[1]})
        conversation.hear("leave")

    client, server = serve(script)
    with pytest.raises(aegis_fl.UpdateRefused, match="The tensor w has NaN") as raised:
        client.run()
    server.check()
    assert raised.value.code == "UPDATE_NOT_FINITE"


def test_evaluation_answers_with_metrics_alone_and_what_is_not_there_is_declined(serve) -> None:
    def script(conversation: Conversation) -> None:
        conversation.welcome()
        body = conversation.offer("e1", kind=_wire.EVALUATE)
        conversation.hear("task_accepted")
        conversation.serve_model(body)
        submit, _ = conversation.hear("submit")
        assert [entry.key for entry in submit.metrics] == ["accuracy", "num-examples"] and not submit.tensors
        conversation.accept("e1")
        conversation.offer("x1", kind=9)
        conversation.hear("task_accepted")
        failed, _ = conversation.hear("fail_task")
        assert "does not know such a task" in failed.reason
        conversation.hear("leave")

    client, server = serve(script)

    @client.evaluate
    def evaluate(model, config):
        return {"accuracy": 0.5, "num_examples": 3}

    outcomes = client.run(idle=3)
    server.check()
    assert [(outcome.kind, outcome.accepted) for outcome in outcomes] == [("evaluate", True), (None, False)]


def test_function_may_start_processes(serve) -> None:
    """As torch's data loaders do: by fork, under a live connection."""
    import multiprocessing

    client, server = serve(one_task)

    @client.train
    def train(model, config):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            (one, _) = pool.map(abs, [-1, -1])
        return {name: np.asarray(array + one, array.dtype) for name, array in model.items()}, {"num_examples": 1}

    (outcome,) = client.run(rounds=1)
    server.check()
    assert outcome.accepted


@pytest.mark.parametrize(
    ("over", "error", "words"),
    [
        (
            Over(grpc.StatusCode.UNAUTHENTICATED, "The key is not known.", "NODE_KEY_UNKNOWN"),
            aegis_fl.NotEnrolled,
            "aegis nodes approve",
        ),
        (
            Over(grpc.StatusCode.FAILED_PRECONDITION, "Got 1, this server speaks 2.", "NODE_PROTOCOL"),
            aegis_fl.ProtocolMismatch,
            "speaks 2",
        ),
        (Over(grpc.StatusCode.FAILED_PRECONDITION, "Replaced.", "NODE_REPLACED"), aegis_fl.KeyInUse, "a key of its own"),
        (Over(grpc.StatusCode.UNIMPLEMENTED, "unknown service"), aegis_fl.ProtocolMismatch, "does not speak aegis.node.v1"),
    ],
)
def test_final_refusal_of_the_server_is_raised_at_once(serve, tmp_path, over, error, words) -> None:
    def refuse(conversation: Conversation) -> None:
        raise over

    client, server = serve(refuse, key=tmp_path / "node.key")
    with pytest.raises(error, match=words):
        client.run()
    server.check()


def test_server_that_speaks_out_of_turn_is_not_one(serve) -> None:
    def script(conversation: Conversation) -> None:
        conversation.say(heartbeat={})

    client, server = serve(script)
    with pytest.raises(aegis_fl.ProtocolMismatch, match="heartbeat where challenge was due"):
        client.run()


def test_server_that_is_not_there_is_reported_and_given_up_after_the_time_allowed(capsys) -> None:
    server = ScriptedServer()
    address = server.address
    server.stop()
    client = aegis_fl.Client(address, insecure=True, give_up_after=0.1)
    client.train(lambda model, config: (model, {}))

    with pytest.raises(aegis_fl.ServerUnreachable, match="connection refused"):
        client.run()
    assert f"no connection to {address} (connection refused); trying again" in capsys.readouterr().err


def test_server_that_comes_later_is_found(serve) -> None:
    first = ScriptedServer()
    address = first.address
    first.stop()
    client = aegis_fl.Client(address, insecure=True)
    client.train(
        lambda model, config: ({name: np.asarray(array + 1, array.dtype) for name, array in model.items()}, {"num_examples": 30})
    )
    later: list[ScriptedServer] = []
    timer = threading.Timer(0.5, lambda: later.append(ScriptedServer(one_task, address=address)))
    timer.start()

    (outcome,) = client.run(rounds=1)

    later[0].check()
    later[0].stop()
    assert outcome.accepted


def test_run_refuses_what_makes_no_sense() -> None:
    client = aegis_fl.Client("127.0.0.1:1", insecure=True)
    with pytest.raises(ValueError, match="decorate a function"):
        client.run()
    client.train(lambda model, config: (model, {}))
    with pytest.raises(ValueError, match="rounds is 0"):
        client.run(rounds=0)
    for wrong in ("localhost", ":9443", "host:http"):
        with pytest.raises(ValueError, match="host:port"):
            aegis_fl.Client(wrong)
    with pytest.raises(ValueError, match="make no sense"):
        aegis_fl.Client("localhost:1", insecure=True, root_certificates=b"a root")
