"""What ``--help`` of a group looks like: commands under headings, each with its whole sentence."""

from __future__ import annotations

from typing import Any, Final

from typer.core import TyperGroup

#: What `whence` can do, in the order in which a newcomer meets it; other groups have one heading.
SECTIONS: Final = {
    "Begin": ("init", "demo", "serve", "doctor", "config"),
    "Data": ("ingest", "table", "sql", "quarantine"),
    "Validation": ("stats", "schema", "validate", "skew", "anomalies"),
    "Features, models, predictions": (
        "features", "leaks", "models", "deployments", "score", "replay", "monitor",
    ),
    "Pipelines": ("run", "runs", "exec", "why", "reproduce", "bisect"),
    "The graph: whence, and where to": (
        "trace", "impact", "lineage", "path", "diff", "nodes", "mark",
    ),
    "Keep and exchange": ("import", "export", "namespace", "retention", "remove", "gc", "migrate"),
}  # fmt: skip


class Group(TyperGroup):
    """A group of commands whose help cuts no sentence short."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # Any: typer names neither in public
        """Write the commands: those of `SECTIONS` under their headings, all others under one."""
        sections = SECTIONS if ctx.parent is None else {}
        placed = {name for names in sections.values() for name in names}
        rest = tuple(name for name in self.list_commands(ctx) if name not in placed)
        width = max(map(len, self.commands), default=0)
        for title, names in (*sections.items(), ("Commands", rest)):
            rows = [(name.ljust(width), self._sentence(name)) for name in names]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def _sentence(self, name: str) -> str:
        """The first sentence of a command's help, whole, without its full stop."""
        return " ".join((self.commands[name].help or "").split("\n\n")[0].split()).removesuffix(".")
