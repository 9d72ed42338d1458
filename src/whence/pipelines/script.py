"""A script without what it does: the definitions a step needs, and nothing that would run again.

A step of a script or a notebook stands among statements that connect, append and print. To make
the step again, only the imports, and the functions, classes and constants it names, directly or
through each other, are executed; every other statement of the top level is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator


def definitions_only(tree: ast.Module, entry: str) -> ast.Module:
    """The statements of a script that define `entry` and what it names, in their order.

    Example:
        >>> tree = ast.parse('''
        ... import math
        ... K = 2
        ... ws = connect("here")
        ... def half(x): return x / K
        ... print(half(3))
        ... ''')
        >>> print(ast.unparse(definitions_only(tree, "half")))
        import math
        K = 2
        <BLANKLINE>
        def half(x):
            return x / K
    """
    binding = [(statement, set(_bound(statement))) for statement in tree.body]
    needed, reached = {entry.partition(".")[0]}, set[str]()
    while needed - reached:
        name = (needed - reached).pop()
        reached.add(name)
        for statement, names in binding:
            if name in names:
                needed |= {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)}
    kept = [s for s, names in binding if isinstance(s, ast.Import | ast.ImportFrom) or names & reached]
    return ast.Module(kept, tree.type_ignores)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names a statement of the top level binds by defining them; nothing for one that does something."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((a.asname or a.name).partition(".")[0] for a in statement.names)
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))
    elif isinstance(statement, ast.If | ast.Try) and not _is_main_block(statement):
        for part in ast.iter_child_nodes(statement):
            if isinstance(part, ast.stmt):
                yield from _bound(part)
            elif isinstance(part, ast.ExceptHandler):
                for inner in part.body:
                    yield from _bound(inner)


def _is_main_block(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and any(
        isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(statement.test)
    )
