"""What the recorder writes, when, and for whom."""

# ruff: noqa: PT012, SIM117 - blocks are what is tested: what stands in them, and how they nest

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from whence._base.digest import sha256_bytes
from whence._base.principal import acting_as
from whence.database import Database, sqlite_url
from whence.errors import BackendError, ConflictError, NotFoundError, UsageError
from whence.metadata import (
    Artifact,
    Change,
    CodeInfo,
    Context,
    Execution,
    MetadataStore,
    ProcessLife,
    Put,
    Recorder,
    Type,
    Written,
    current_recording,
    open_store,
)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    url = "memory://" if request.param == "memory" else sqlite_url(tmp_path / "whence.db")
    store = open_store(url)
    store.put_type(Type("artifact", "Table", {"n_rows": "INT"}))
    yield store
    store.close()


@pytest.fixture
def recorder(store: MetadataStore) -> Recorder:
    return Recorder(store, project="flights", environment=lambda: {"python": "3.11.7", "machine": "abacus"})


def table(name: str | None = None, n_rows: int | None = None) -> Artifact:
    return Artifact(type="Table", name=name, properties={} if n_rows is None else {"n_rows": n_rows})


def stored(recorder: Recorder, uid: str) -> Execution:
    (node,) = recorder.store.get_nodes("execution", uids=[uid])
    assert isinstance(node, Execution)
    return node


def state(recorder: Recorder, artifact: Artifact) -> str:
    (node,) = recorder.store.get_nodes("artifact", uids=[artifact.uid])
    assert isinstance(node, Artifact)
    return node.state


def events(recorder: Recorder, uid: str) -> list[tuple[str, str | None, tuple[str | int, ...]]]:
    """(kind, artifact's name, path) of an execution, without code and environment."""
    found = [e for e in recorder.store.list_events(executions=[uid]) if not e.kind.startswith("INTERNAL")]
    names = {a.uid: a.name for a in recorder.store.get_nodes("artifact", uids=[e.artifact for e in found])}
    return [(e.kind, names[e.artifact], e.path) for e in found]


def test_an_execution_is_running_inside_and_complete_after(recorder: Recorder) -> None:
    before = datetime.now(UTC)
    with acting_as("user:ada"), recorder.execution("append", params={"month": 4}) as recording:
        inside = stored(recorder, recording.uid)
        assert (inside.state, inside.get("finished_at"), inside.get("attempt")) == ("RUNNING", None, 1)
        recording.set(n_rows=3, note="x")
    after = stored(recorder, recording.uid)
    assert after == recording.execution
    assert (after.state, after.type, after.name) == ("COMPLETE", "append", None)
    assert recording.ref == f"execution:{after.uid}"
    assert (after.get("principal"), after.get("params"), after.custom) == (
        "user:ada",
        {"month": 4},
        {"n_rows": 3, "note": "x"},
    )
    started, finished, duration = (after.get(k) for k in ("started_at", "finished_at", "duration_s"))
    assert isinstance(started, str)
    assert isinstance(finished, str)
    assert before <= datetime.fromisoformat(started) <= datetime.fromisoformat(finished)
    assert isinstance(duration, float)
    assert 0 <= duration < 60
    assert after.get("error") is None


def test_inputs_outputs_and_roles(recorder: Recorder) -> None:
    first = recorder.put_artifact(table("a@1", 3))
    with recorder.execution(
        "merge", inputs=[(table("a@1"), ("left",)), (table("b@1"), ("right", 0))]
    ) as recording:
        assert events(recorder, recording.uid) == [
            ("INPUT", "a@1", ("left",)),
            ("INPUT", "b@1", ("right", 0)),
        ]
        recording.input(first, path=("again",))
        recording.output(table("c@1", 6), path=("out",))
        assert [a.name for a in recording.inputs] == ["a@1", "b@1", "a@1"]
        assert [a.name for a in recording.outputs] == ["c@1"]
        assert recorder.store.find_nodes("artifact", name="c@1").nodes == []
    assert events(recorder, recording.uid)[2:] == [("INPUT", "a@1", ("again",)), ("OUTPUT", "c@1", ("out",))]
    assert [(a.name, a.get("n_rows")) for a in recording.inputs] == [("a@1", 3), ("b@1", None)]
    assert [(a.name, a.get("n_rows"), a.state) for a in recording.outputs] == [("c@1", 6, "LIVE")]
    assert recording.inputs[0].uid == first.uid


def test_an_output_that_exists_gains_its_properties(recorder: Recorder) -> None:
    first = recorder.put_artifact(Artifact(type="Table", name="a@1", custom={"found": True}))
    with recorder.execution("append") as recording:
        recording.output(table("a@1", 3))
    (output,) = recording.outputs
    assert (output.uid, output.custom, output.properties) == (first.uid, {"found": True}, {"n_rows": 3})


def test_an_expected_output_is_pending_then_live(recorder: Recorder) -> None:
    expected = table()
    with recorder.execution("append", expects=[expected]) as recording:
        assert (state(recorder, expected), recording.outputs) == ("PENDING", ())
        assert [a.uid for a in recording.expected] == [expected.uid]
        recording.output(table("a@1", 3), replaces=expected)
        assert state(recorder, expected) == "PENDING"
    (output,) = recording.outputs
    assert (output.uid, output.name, output.state, recording.expected) == (expected.uid, "a@1", "LIVE", ())
    assert events(recorder, recording.uid) == [("PENDING_OUTPUT", "a@1", ()), ("OUTPUT", "a@1", ())]


def test_an_expected_output_is_met_by_its_name(recorder: Recorder) -> None:
    with recorder.execution("register", expects=[table("late@3")]) as recording:
        recording.output(table("late@3", 1))
    (output,) = recorder.store.find_nodes("artifact", type_="Table").nodes
    assert (output.name, recording.outputs) == ("late@3", (output,))


def test_an_unwritten_expectation_is_abandoned(recorder: Recorder) -> None:
    with recorder.execution("append", expects=[table("a@1")]) as recording:
        late = recording.expect(table("b@1"))
        assert late.state == "PENDING"
        recording.output(table("a@1"))
    assert state(recorder, late) == "ABANDONED"
    assert [a.name for a in recording.outputs] == ["a@1"]


def test_what_is_live_is_not_made_pending(recorder: Recorder) -> None:
    live = recorder.put_artifact(table("a@1"))
    with pytest.raises(ValueError, match="no"), recorder.execution("append", expects=[table("a@1")]):
        assert state(recorder, live) == "LIVE"
        raise ValueError("no")
    assert state(recorder, live) == "LIVE"


def test_an_output_found_by_somebody_else_meanwhile(recorder: Recorder) -> None:
    """The lake's commit was recorded by another process between intent and closing."""
    expected = table()
    with recorder.execution("append", expects=[expected]) as recording:
        recording.output(table("a@1", 3), replaces=expected)
        found = recorder.put_artifact(table("a@1"))
    assert (recording.outputs[0].uid, recording.outputs[0].properties) == (found.uid, {"n_rows": 3})
    assert (state(recorder, found), state(recorder, expected)) == ("LIVE", "ABANDONED")


def test_a_final_form_has_the_type_that_was_expected(recorder: Recorder) -> None:
    with recorder.execution("append", expects=[expected := table()]) as recording:
        with pytest.raises(UsageError, match="a Report cannot be the final form of a Table") as caught:
            recording.output(Artifact(type="Report"), replaces=expected)
    assert caught.value.code == "output-type"


def test_a_failed_body_is_recorded_and_raised(recorder: Recorder) -> None:
    expected = table()
    with pytest.raises(ZeroDivisionError), recorder.execution("append", expects=[expected]) as recording:
        recording.output(table("b@1"))
        _ = 1 / 0
    after = stored(recorder, recording.uid)
    assert (after.state, after.get("error"), after.get("error_type")) == (
        "FAILED",
        "division by zero",
        "ZeroDivisionError",
    )
    assert after.get("error_code") is None
    assert state(recorder, expected) == "ABANDONED"
    assert [a.name for a in recording.outputs] == ["b@1"], "what was written before the error exists"


def test_an_error_of_ours_keeps_its_code(recorder: Recorder) -> None:
    with pytest.raises(UsageError), recorder.execution("append") as recording:
        raise UsageError("no \ud800" + "x" * 20_000, code="no-good")
    after = stored(recorder, recording.uid)
    assert after.get("error_code") == "no-good"
    error = after.get("error")
    assert isinstance(error, str)
    assert (len(error), error[:9]) == (10_000, "no \\ud800")


def test_an_interrupted_body_is_canceled(recorder: Recorder) -> None:
    with pytest.raises(KeyboardInterrupt), recorder.execution("append", key="k") as recording:
        raise KeyboardInterrupt
    assert stored(recorder, recording.uid).state == "CANCELED"
    with recorder.execution("append", key="k") as again:
        assert again.uid == recording.uid


def test_an_output_that_cannot_be_written_fails_the_execution(recorder: Recorder) -> None:
    with pytest.raises(NotFoundError, match="artifact type 'Tabel' not found"):
        with recorder.execution("append", expects=[expected := table()]) as recording:
            recording.output(Artifact(type="Tabel"))
    after = stored(recorder, recording.uid)
    assert (after.state, after.get("error_code")) == ("FAILED", "artifact-type-not-found")
    assert state(recorder, expected) == "ABANDONED"
    assert recorder.recover().n == 0


def test_a_bad_property_is_refused_before_the_body(recorder: Recorder) -> None:
    with pytest.raises(UsageError) as caught, recorder.execution("append", params={"x": object()}):  # type: ignore[dict-item]  # that is the test
        pytest.fail("the body ran")
    assert caught.value.code == "property-type"
    assert recorder.store.find_nodes("execution").nodes == []


class Switch:
    """Makes a store fail its writes while it is on."""

    def __init__(self, store: MetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = False
        self._write = store.write
        monkeypatch.setattr(store, "write", self)

    def __call__(self, change: Change) -> Written:
        if self.on:
            raise BackendError("the disk is full", code="store-full")
        return self._write(change)


def test_a_store_that_fails_at_closing_leaves_it_to_recovery(
    store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Switch(store, monkeypatch)
    recorder = Recorder(store)
    expected = table()
    with (
        pytest.raises(BackendError, match="disk is full"),
        recorder.execution("append", expects=[expected]) as recording,
    ):
        recording.output(table("a@1"), replaces=expected)
        full.on = True
    full.on = False
    assert stored(recorder, recording.uid).state == "RUNNING"
    recorder.add_probe("Table", lambda _execution, _artifact: table("a@1", 3))
    recovered = recorder.recover()
    assert [e.uid for e in recovered.rolled_forward] == [recording.uid]
    assert recovered.failed == []
    assert state(recorder, expected) == "LIVE"


def test_a_failure_that_cannot_be_recorded_does_not_hide_the_error(
    store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Switch(store, monkeypatch)
    recorder = Recorder(store)
    with pytest.raises(ValueError, match="the body's own") as caught, recorder.execution("append"):
        full.on = True
        raise ValueError("the body's own")
    assert "could not record the failure" in caught.value.__notes__[0]
    full.on = False
    assert len(recorder.recover().failed) == 1


def test_a_key_runs_once(recorder: Recorder) -> None:
    assert recorder.find_complete("score", "k") is None
    with recorder.execution("score", key="k") as recording:
        assert recorder.find_complete("score", "k") is None
        with pytest.raises(ConflictError, match="score 'k' is being run by process") as caught:
            with recorder.execution("score", key="k"):
                pytest.fail("the body ran")
        assert caught.value.code == "execution-running"
        with recorder.execution("append", key="k"):
            pass
    done = recorder.find_complete("score", "k")
    assert done == recording.execution
    with pytest.raises(ConflictError, match="score 'k' is done") as caught:
        with recorder.execution("score", key="k"):
            pytest.fail("the body ran")
    assert (caught.value.code, caught.value.details["uid"]) == ("execution-complete", recording.uid)


def test_a_derived_uid_runs_once_too(recorder: Recorder) -> None:
    with recorder.execution("score", uid="U1"):
        pass
    with pytest.raises(ConflictError) as caught, recorder.execution("score", uid="U1"):
        pytest.fail("the body ran")
    assert caught.value.code == "execution-complete"


def test_a_failed_key_runs_again_as_the_same_execution(recorder: Recorder) -> None:
    with pytest.raises(ValueError, match="first"):
        with recorder.execution("score", key="k", params={"a": 1}, expects=[table("p@1")]) as first:
            raise ValueError("first")
    with recorder.execution("score", key="k", params={"a": 2}, expects=[table("p@1")]) as second:
        assert second.execution.get("error") is None
        second.output(table("p@1"))
    assert (second.uid, second.execution.id) == (first.uid, first.execution.id)
    assert (second.execution.get("attempt"), second.execution.get("params")) == (2, {"a": 2})
    assert [(a.name, a.state) for a in second.outputs] == [("p@1", "LIVE")]


def test_threads_that_want_one_key(recorder: Recorder) -> None:
    ran: list[str] = []
    refused: list[str] = []
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait()
        try:
            with recorder.execution("score", key="k") as recording:
                ran.append(recording.uid)
        except ConflictError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(ran), len(refused)) == (1, 5)
    assert set(refused) <= {"execution-running", "execution-complete"}


def test_contexts_make_themselves(recorder: Recorder) -> None:
    with recorder.within(Context(type="Pipeline", name="retrain")) as pipeline:
        with recorder.within(Context(type="PipelineRun", name="r1")):
            with recorder.execution("step", contexts=[Context(type="Experiment", name="depth")]) as recording:
                recording.context("RegisteredModel", "late", {"owner": "ops"})
                recording.output(table("a@1"))
    with recorder.execution("step") as outside:
        pass
    want = ["flights", "retrain", "r1", "depth", "late"]
    found = recorder.store.list_contexts(execution=recording.uid)
    assert sorted(c.name or "" for c in found) == sorted(want)
    assert [c.name for c in recording.contexts] == want
    assert sorted(
        c.name or "" for c in recorder.store.list_contexts(artifact=recording.outputs[0].uid)
    ) == sorted(want)
    assert [c.name for c in recorder.store.list_contexts(execution=outside.uid)] == ["flights"]
    assert pipeline in found
    (model,) = recorder.store.find_nodes("context", type_="RegisteredModel").nodes
    assert model.custom == {"owner": "ops"}
    with recorder.within(Context(type="Pipeline", name="retrain")) as again:
        assert again == pipeline


def test_current_nested_and_joined(recorder: Recorder) -> None:
    other = Recorder(open_store("memory://"))
    assert recorder.current() is None
    with recorder.execution("outer") as outer:
        assert recorder.current() is outer
        assert current_recording() is outer
        assert other.current() is None
        with recorder.joined(
            "append", key="ignored", inputs=[(table("a@1"), ("in",))], expects=[table("b@1")]
        ) as joined:
            assert joined is outer
            joined.output(table("b@1"))
        with recorder.execution("inner") as inner:
            assert recorder.current() is inner
        assert recorder.current() is outer
        seen: list[object] = []
        thread = threading.Thread(target=lambda: seen.append(recorder.current()))
        thread.start()
        thread.join()
        assert seen == [None], "a new thread stands outside unless it copies the context"
    assert recorder.current() is None
    assert (inner.execution.get("parent"), outer.execution.get("parent")) == (outer.uid, None)
    assert [e[:2] for e in events(recorder, outer.uid)] == [
        ("PENDING_OUTPUT", "b@1"), ("INPUT", "a@1"), ("OUTPUT", "b@1"),
    ]  # fmt: skip
    with recorder.joined("append", key="k") as alone:
        assert (alone.execution.type, alone.execution.name) == ("append", "k")


def test_flush_writes_what_is_known_so_far(recorder: Recorder) -> None:
    with recorder.execution("fit", expects=[expected := table("m@1")]) as recording:
        recording.set(loss=0.5)
        recording.input(table("a@1"))
        recording.output(table("c@1"))
        recording.flush()
        now = stored(recorder, recording.uid)
        assert (now.state, now.get("loss")) == ("RUNNING", 0.5)
        assert len(events(recorder, recording.uid)) == 3
        assert state(recorder, expected) == "PENDING"
        recording.set(loss=0.25)
        recording.output(table("m@1"))
    assert [e[0] for e in events(recorder, recording.uid)] == ["PENDING_OUTPUT", "INPUT", "OUTPUT", "OUTPUT"]
    assert recording.execution.get("loss") == 0.25


def test_a_cached_execution(recorder: Recorder) -> None:
    with recorder.execution("step", key="k") as recording:
        recording.mark_cached()
    assert recording.execution.state == "CACHED"
    assert recorder.find_complete("step", "k") == recording.execution


def test_a_closed_recording_is_closed(recorder: Recorder) -> None:
    with recorder.execution("step") as recording:
        pass
    for late in (
        lambda: recording.input(table("a")),
        lambda: recording.output(table("a")),
        lambda: recording.expect(table("a")),
        lambda: recording.set(a=1),
        lambda: recording.context("Experiment", "x"),
        recording.flush,
        recording.mark_cached,
    ):
        with pytest.raises(UsageError, match="is closed") as caught:
            late()
        assert caught.value.code == "recording-closed"


def test_declared_properties_are_typed(recorder: Recorder) -> None:
    recorder.store.put_type(Type("execution", "score", {"n_rows": "INT"}))
    with recorder.execution("score", properties={"n_rows": 3, "free": "x"}) as recording:
        pass
    assert (recording.execution.properties["n_rows"], recording.execution.custom) == (3, {"free": "x"})
    with pytest.raises(UsageError) as caught, recorder.execution("score", properties={"n_rows": "3"}):
        pytest.fail("the body ran")
    assert caught.value.code == "property-type"


def test_environment_and_code_are_internal_inputs_stored_once(store: MetadataStore) -> None:
    kept: dict[str, bytes] = {}

    class Blobs:
        def put(self, data: bytes, /) -> str:
            kept[sha256_bytes(data)] = data
            return sha256_bytes(data)

    code = CodeInfo(
        "flights.train", "sha256:" + "1" * 64, "def train(): ...", properties={"imports": ["numpy"]}
    )
    recorder = Recorder(
        store, blobs=Blobs(), environment=lambda: {"python": "3.11.7", "packages": {"numpy": "2"}, "gpu": 0}
    )
    for _ in range(2):
        with recorder.execution("step", code=code) as recording:
            pass
    (environment,) = store.find_nodes("artifact", type_="Environment").nodes
    assert environment.properties == {"python": "3.11.7", "packages": {"numpy": "2"}}
    assert environment.custom == {"gpu": 0}
    (source,) = store.find_nodes("artifact", type_="Code").nodes
    blob = sha256_bytes(b"def train(): ...")
    assert source.properties == {"qualified_name": "flights.train", "digest": code.digest, "blob": blob}
    assert (source.name, source.custom, kept) == (
        code.digest,
        {"imports": ["numpy"]},
        {blob: b"def train(): ..."},
    )
    internal = [
        e.artifact for e in store.list_events(executions=[recording.uid]) if e.kind == "INTERNAL_INPUT"
    ]
    assert internal == [environment.uid, source.uid]
    assert recording.execution.get("environment") == environment.name
    assert recording.execution.get("code") == code.digest
    plain = Recorder(store, environment=dict)
    with plain.execution("step", code=CodeInfo("f", "sha256:" + "2" * 64, "def f(): ...")):
        pass
    assert store.find_nodes("artifact", type_="Code").nodes[1].get("source") == "def f(): ..."


def test_a_run_of_another_store_is_not_ours_to_judge(recorder: Recorder) -> None:
    """A RUNNING execution without a life was made by somebody else: recovery leaves it alone."""
    recorder.store.put_type(Type("execution", "foreign"))
    recorder.store.write(Change([Put(Execution(type="foreign", state="RUNNING"))]))
    assert recorder.recover().n == 0


def test_a_full_store_stops_before_the_body(tmp_path: Path) -> None:
    database = Database.from_url(sqlite_url(tmp_path / "full.db"))
    recorder = Recorder(open_store("sqlite:///full.db", database=database), environment=dict)
    with recorder.execution("append"):
        pass
    with database.session() as session:
        ((pages,),) = session.rows("PRAGMA page_count")
        session.rows(f"PRAGMA max_page_count={pages}")
    with pytest.raises(BackendError) as caught, recorder.execution("append", params={"x": "x" * 100_000}):
        pytest.fail("the body ran")
    assert caught.value.code == "store-full"
    assert [getattr(n, "state", None) for n in recorder.store.find_nodes("execution").nodes] == ["COMPLETE"]
    database.close()


def test_two_processes_settle_one_death(store: MetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both read the dead execution; the second writes after the first, and finds nothing left to do."""
    life = ProcessLife()
    dead, one, two = Recorder(store, life=life), Recorder(store), Recorder(store)
    full = Switch(store, monkeypatch)
    with pytest.raises(BackendError), dead.execution("append", expects=[expected := table("a@1")]):
        full.on = True
    full.on = False
    life.close()

    def probe(_execution: Execution, _artifact: Artifact) -> Artifact:
        assert len(one.recover().rolled_forward) == 1
        return table("a@1")

    one.add_probe("Table", lambda _execution, _artifact: table("a@1"))
    two.add_probe("Table", probe)
    assert two.recover().n == 0
    (execution,) = store.find_nodes("execution").nodes
    assert (execution.get("recovered"), execution.revision) == ("rolled-forward", 2)
    assert state(one, expected) == "LIVE"
