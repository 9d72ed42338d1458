"""Anomalies as bugs: open until somebody accepts or repairs them, open again when they come back.

What was found is what the kept reports say; what people did about it are executions. The state of an
incident is computed from both and never stored by itself, so it cannot contradict them, whoever validates
at the same time, in whatever order, and however often.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, TypeAlias, get_args

from whence._base.crash import crash_point, register
from whence._base.refs import Ref
from whence.errors import ConflictError, NotFoundError, UsageError
from whence.metadata import Artifact, Type
from whence.metadata.base import MetadataStore
from whence.validation.incident import (
    Action,
    Decision,
    Identity,
    Incident,
    Seen,
    State,
    fold,
    found_in,
    number_of,
    schema_of,
    timeline_of,
)
from whence.validation.kept import Kept
from whence.validation.report import Report
from whence.validation.types import Anomaly

TYPES: Final = (
    Type(
        "artifact",
        "Incident",
        {
            "incident": "STRING",
            "number": "INT",
            "action": "STRING",
            "state": "STRING",
            "owner": "STRING",
            "note": "STRING",
            "link": "STRING",
            "holds_from": "INT",
            "schema_version": "INT",
            "identity": "STRUCT",
            "principal": "STRING",
            "at": "STRING",
        },
        description="what was decided about an anomaly; one artifact a decision",
    ),
    Type("execution", "decide_anomaly"),
)
SCHEMA_PUT: Final = register(
    "validation.incident.schema-put",
    "the schema takes the anomaly, the incident does not say that it is accepted",
)
_TRIES: Final = 30
_PAUSE_S: Final = 0.01

_Texts: TypeAlias = list[str]
_Artifacts: TypeAlias = list[Artifact]
_Reports: TypeAlias = list[Seen]
_Incidents: TypeAlias = list[Incident]
Load: TypeAlias = Callable[[Artifact], Report]
Update: TypeAlias = Callable[[str, Sequence[Anomaly]], Artifact]


class Incidents:
    """The incidents of a workspace: ``ws.validation.incidents``.

    Args:
        kept: The graph and the clock.
        load: The report an artifact stands for.
        update: Keeps the next version of a schema, with the changes that anomalies propose.
    """

    def __init__(self, kept: Kept, load: Load, update: Update) -> None:
        self._kept = kept
        self._load = load
        self._update_schema = update

    # --- reading

    def list(
        self, table: str | None = None, *, state: State | None = None, owner: str | None = None
    ) -> _Incidents:
        """The incidents, the open ones first, then by how newly they were found.

        Args:
            table: Of one table (or ``view:daily``); None is all.
            state: Only those in this state.
            owner: Only those of this owner.

        Raises:
            UsageError: There is no such state (``bad-state``).
        """
        if state is not None and state not in get_args(State):
            raise UsageError(f"{state!r} is no state", code="bad-state", near=get_args(State))
        found = [
            i
            for i in self._all(None if table is None else _table_of(table))
            if state in (None, i.state) and owner in (None, i.owner)
        ]
        order = {s: n for n, s in enumerate(get_args(State))}
        return sorted(found, key=lambda i: (order[i.state], i.identity.table, -i.last, i.id))

    def get(self, incident: str | Identity) -> Incident:
        """One incident, by its id (or the beginning of it that only it has) or what it is about.

        Raises:
            NotFoundError: There is none (``incident-not-found``).
            UsageError: Several begin so (``ambiguous-incident``).
        """
        wanted = incident.id if isinstance(incident, Identity) else incident
        known = {i.id: i for i in self._all(None)}
        if wanted in known:
            return known[wanted]
        near = [i for i in known if i.startswith(wanted)] if wanted else []
        if len(near) > 1:
            raise UsageError(
                f"several incidents begin with {wanted!r}", code="ambiguous-incident", hint=", ".join(near[:5])
            )  # fmt: skip
        if not near:
            raise NotFoundError("incident", wanted, near=known, hint="whence anomalies list shows all")
        return known[near[0]]

    def find(self, table: str, feature: str, type_: str) -> _Incidents:
        """The incidents of one feature and type of a table, under whatever schema and environment."""
        found = self._all(_table_of(table))
        return [i for i in found if (i.identity.feature, i.identity.type) == (feature, type_)]

    def anomaly(self, incident: str | Identity) -> Anomaly:
        """The anomaly as it was found last, with its values and example rows."""
        one = self.get(incident)
        return self._last(one)[1]

    def errors_by_version(self, table: str) -> dict[int, _Texts]:
        """The versions of a table whose newest reports have errors that are not accepted, and which."""
        accepted = {i.id for i in self._all(table) if i.state == "accepted"}
        out: dict[int, _Texts] = {}
        for place, reports in self._by_place(table).items():
            for seen in timeline_of(reports):
                for (feature, type_, rule), severity in seen.found.items():
                    if severity == "ERROR" and Identity(*place, feature, type_, rule).id not in accepted:
                        out.setdefault(seen.version, []).append(f"{type_} of {feature or rule}")
        return out

    def _all(self, table: str | None) -> _Incidents:
        decided = self._decided()
        out = []
        for place, reports in self._by_place(table).items():
            timeline = timeline_of(reports)
            for key in dict.fromkeys(k for seen in reports for k in seen.found):
                identity = Identity(*place, *key)
                out.append(fold(identity, reports, timeline, decided.get(identity.id, ())))
        return out

    def _by_place(self, table: str | None) -> dict[tuple[str, str, str | None], _Reports]:
        out: dict[tuple[str, str, str | None], _Reports] = {}
        for seen in self._seen(table):
            out.setdefault(seen.place, []).append(seen)
        return out

    def _seen(self, table: str | None) -> Iterator[Seen]:
        prefix = None if table is None else f"{table}@"
        for artifact in self._kept.artifacts("Anomalies", name_prefix=prefix):
            source = Ref.parse(str(artifact.get("source")))
            name = source.name if source.kind == "table" else f"{source.kind}:{source.name}"
            if source.number is None or table not in (None, name):
                continue
            schema, version = schema_of(str(artifact.get("schema")))
            environment = artifact.get("environment")
            found, sides = self._found(artifact)
            yield Seen(
                name, source.number, schema, version, None if environment is None else str(environment),
                sides, found, artifact,
            )  # fmt: skip

    def _found(self, artifact: Artifact) -> tuple[dict[tuple[str, str, str], str], frozenset[str]]:
        said = artifact.get("found")
        if not isinstance(said, Mapping):  # kept before reports said so in the graph
            said = found_in(self._load(artifact))
        listed: Any = said["anomalies"]
        sides: Any = said["sides"]
        return {(f, t, r): s for f, t, r, s in listed}, frozenset(sides)

    def _decided(self) -> dict[str, _Artifacts]:
        by_id: dict[str, _Artifacts] = {}
        for artifact in self._kept.artifacts("Incident"):
            by_id.setdefault(str(artifact.get("incident")), []).append(artifact)
        return {i: sorted(found, key=number_of) for i, found in by_id.items()}

    def _last(self, incident: Incident) -> tuple[Seen, Anomaly]:
        """The report that found it last, and what that says."""
        identity = incident.identity
        place = identity.table, identity.schema, identity.environment
        key = identity.feature, identity.type, identity.rule
        found = [s for s in self._seen(identity.table) if s.place == place and key in s.found]
        seen = max(found, key=Seen.order)
        report = self._load(seen.artifact)
        return seen, next(a for a in report.anomalies if (a.feature, a.type, a.rule) == key)

    # --- deciding

    def accept(
        self, incident: str | Identity, *, note: str = "", link: str | None = None, update: bool = False
    ) -> Incident:
        """The anomaly is how the data are: nobody needs to look at it again.

        Args:
            incident: Its id, or what it is about.
            note: Why.
            link: Where that is told.
            update: Also keep the next version of the schema, with the change the anomaly proposes, so that
                later validations do not find it.

        Raises:
            NotFoundError: No such incident.
            UsageError: The schema is not a kept one, or the anomaly proposes no change (``no-proposal``).

        Records:
            One execution ``decide_anomaly``, its key the incident and the number of the decision: the report that
            found the anomaly last and the decision before in, an `Incident` out. With `update`, one
            ``put_schema`` before it, whose `Schema` goes in too.
        """
        one = self.get(incident)
        into = one.decisions[-1].schema_version if one.state == "accepted" else 0
        if not update or into:
            return self._decide(one, "accept", "accepted", note=note, link=link, schema=into)
        schema = self._update(one)
        crash_point(SCHEMA_PUT)
        version = schema_of(f"schema:{schema.name}")[1]
        link = link or f"schema:{schema.name}"
        return self._decide(one, "accept", "accepted", note=note, link=link, schema=version, inputs=[schema])

    def _update(self, incident: Incident) -> Artifact:
        """The schema with the change that the anomaly proposes, as it was found last, kept."""
        name = incident.identity.schema
        found = self._last(incident)[1]
        if name.startswith("sha256:"):
            raise UsageError(
                "the schema is not kept, so there is no next version of it", code="no-proposal",
                hint="put_schema keeps it under a name",
            )  # fmt: skip
        if not found.proposed:
            raise UsageError(
                f"{found.type} of {found.feature or found.rule!r} proposes no change of the schema",
                code="no-proposal",
                hint="accept it without update, or change the schema by hand",
            )
        return self._update_schema(name, [found])

    def fix(
        self,
        incident: str | Identity,
        *,
        link: str | None = None,
        note: str = "",
        holds_from: int | None = None,
    ) -> Incident:
        """The data were repaired; found in a version from then on, it is open again.

        Args:
            incident: Its id, or what it is about.
            link: What repaired it: ``table:flights@15``, ``execution:…``, ``schema:flights@3``, a URL. The default is
                the version that is proposed, if there is one.
            note: How.
            holds_from: The first version that is to be without it. The default is the version that `link` names if
                it is one of this table, else the version after the last one that had it.

        Raises:
            NotFoundError: No such incident.

        Records:
            One execution ``decide_anomaly``, as `accept`.
        """
        one = self.get(incident)
        return self._decide(one, "fix", "fixed", note=note, link=link, holds_from=holds_from)

    def assign(self, incident: str | Identity, owner: str | None, *, note: str = "") -> Incident:
        """Somebody looks after it; None: nobody.

        Raises:
            NotFoundError: No such incident.

        Records:
            One execution ``decide_anomaly``, as `accept`.
        """
        one = self.get(incident)
        return self._decide(one, "assign", one.state, note=note, owner=owner or "")

    def reopen(self, incident: str | Identity, *, note: str = "") -> Incident:
        """It was neither accepted nor repaired after all.

        Raises:
            NotFoundError: No such incident.

        Records:
            One execution ``decide_anomaly``, as `accept`.
        """
        return self._decide(self.get(incident), "reopen", "open", note=note)

    def _decide(
        self,
        incident: Incident,
        action: Action,
        state: State,
        *,
        note: str,
        link: str | None = None,
        owner: str | None = None,
        holds_from: int | None = None,
        schema: int = 0,
        inputs: Sequence[Artifact] = (),
    ) -> Incident:
        for attempt in range(_TRIES):
            before = self._newest(incident.id)
            one = self._again(incident) if attempt else incident
            facts = self._facts(one, before, action, state, note, link, owner, holds_from)
            facts["schema_version"] = (
                schema if action != "assign" or before is None else before.get("schema_version")
            )
            said = {"link": link is not None, "holds_from": holds_from is not None}
            if before is not None and _same(before, facts, said) and one.state == state:
                return one
            try:
                self._write(one, before, action, facts, inputs)
            except ConflictError as error:
                if error.code not in ("execution-running", "execution-complete"):
                    raise
                time.sleep(_PAUSE_S * attempt)
            else:
                return self._again(incident)
        raise ConflictError(
            f"incident {incident.id} is being changed by others", code="incident-contested", hint="retry"
        )

    def _again(self, incident: Incident) -> Incident:
        return next(i for i in self._all(incident.identity.table) if i.id == incident.id)

    def _newest(self, id_: str) -> Artifact | None:
        found = [
            a for a in self._kept.artifacts("Incident", name_prefix=f"{id_}@") if a.get("incident") == id_
        ]
        return max(found, key=number_of, default=None)

    def _facts(
        self,
        incident: Incident,
        before: Artifact | None,
        action: Action,
        state: State,
        note: str,
        link: str | None,
        owner: str | None,
        holds_from: int | None,
    ) -> dict[str, Any]:
        if action == "assign":
            # The state stands in the decision before, and so does what it speaks of.
            state = "open" if before is None else before.get("state")  # type: ignore[assignment]
            holds_from = incident.first if before is None else before.get("holds_from")  # type: ignore[assignment]
            link = None if before is None else before.get("link")  # type: ignore[assignment]
        if action == "fix" and link is None and holds_from is None and incident.clean is not None:
            link, holds_from = incident.repaired_by, incident.clean
        if holds_from is None:
            holds_from = _holds_from(incident, action, link)
        kept = None if before is None else before.get("owner")
        return {
            "incident": incident.id,
            "action": action,
            "state": state,
            "owner": str(kept or "") if owner is None else owner,
            "note": note,
            "link": link,
            "holds_from": holds_from,
            "identity": asdict(incident.identity),
        }

    def _write(
        self,
        incident: Incident,
        before: Artifact | None,
        action: Action,
        facts: dict[str, Any],
        inputs: Sequence[Artifact],
    ) -> None:
        number = 1 if before is None else number_of(before) + 1
        seen = self._last(incident)[0]
        read = [(seen.artifact, ("anomalies",)), *((a, ("schema",)) for a in inputs)]
        if before is not None:
            read.append((before, ("before",)))
        linked = _linked(self._kept.recorder.store, facts["link"])
        if linked is not None and linked.uid not in {a.uid for a, _ in read}:
            read.append((linked, ("link",)))
        # The key lets one writer make a decision; whoever comes second reads again.
        key = f"{incident.id}@{number}"
        params = {k: facts[k] for k in ("incident", "note", "link", "owner", "holds_from")}
        with self._kept.recorder.execution(
            "decide_anomaly", key=key, params={"action": action, **params}, inputs=read, looks=True
        ) as recording:
            facts = {
                **facts,
                "number": number,
                "principal": str(recording.execution.get("principal") or ""),
                "at": self._kept.clock.now().isoformat(),
            }
            recording.output(Artifact(type="Incident", name=key, properties=facts), path=("incident",))


def _same(before: Artifact, facts: Mapping[str, Any], said: Mapping[str, bool]) -> bool:
    """Whether a decision was made already: nothing is written twice. What was not said does not differ."""
    keys = ["state", "owner", "schema_version", *(k for k, given in said.items() if given)]
    same = all((before.get(k) or None) == (facts[k] or None) for k in keys)
    return same and facts["note"] in ("", before.get("note"))


def _holds_from(incident: Incident, action: Action, link: str | None) -> int:
    if action != "fix":
        return incident.first
    named = _version_in(link, incident.identity.table)
    return incident.last + 1 if named is None else named


def _version_in(link: str | None, table: str) -> int | None:
    if link is None or not link.startswith(("table:", "view:")):
        return None
    ref = Ref.parse(link)
    name = ref.name if ref.kind == "table" else f"view:{ref.name}"
    return ref.number if name == table else None


def _linked(store: MetadataStore, link: str | None) -> Artifact | None:
    """The artifact a link names, when it names one that is in the graph."""
    types = {"table": "TableVersion", "schema": "Schema", "view": "View"}
    kind, _, name = (link or "").partition(":")
    if kind not in types:
        return None
    found = store.find_nodes("artifact", type_=types[kind], name=name, limit=1).nodes
    return found[0] if found and isinstance(found[0], Artifact) else None


def _table_of(text: str) -> str:
    """The name under which reports know a table or a view."""
    if text.startswith("view:"):
        return f"view:{Ref.parse(text).name}"
    return Ref.parse(text, kind="table").name


__all__ = ["TYPES", "Decision", "Identity", "Incident", "Incidents", "found_in"]
