"""Source code without what does not run: the normalised syntax tree, and the names it uses.

Two sources with equal normalised trees behave alike: comments, docstrings, layout and line numbers
are gone; everything else stays.
"""

from __future__ import annotations

import ast
import copy
import symtable
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_SKIPPED: Final = frozenset({"ctx", "kind", "type_comment", "type_ignores", "lineno", "col_offset"})
_DYNAMIC: Final = frozenset({"eval", "exec", "compile", "globals", "locals", "vars", "__import__"})
_MODULE_LOADERS: Final = frozenset({("importlib", "import_module"), ("import_module",)})


def normalised(node: ast.AST) -> str:
    r"""The tree as text, without docstrings, comments and positions.

    Fields that are empty are left out, so that a Python that adds an empty field gives the same text.

    Example:
        >>> a = ast.parse("def f(x):\n    'doc'\n    return x + 1  # why")
        >>> b = ast.parse("def f(x): return (x\n  + 1)")
        >>> normalised(a) == normalised(b)
        True
    """
    return "".join(_dump(node))


def _dump(value: object) -> Iterator[str]:
    if isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name in value._fields:
            item = getattr(value, name, None)
            if name == "body" and isinstance(item, list):
                item = _without_docstring(value, item)
            if name in _SKIPPED or (item is None and not isinstance(value, ast.Constant)) or item == []:
                continue
            yield f" {name}="
            yield from _dump(item)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _dump(item)
            yield ","
        yield "]"
    else:
        yield f"{type(value).__name__}:{value!r}"


def _without_docstring(node: ast.AST, body: list[ast.stmt]) -> list[ast.stmt]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) or not body:
        return body
    first = body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return body[1:]
    return body


def definitions(tree: ast.Module) -> dict[str, list[Definition]]:
    """Every function and class of a module by its qualified name, in the order they stand."""
    found: dict[str, list[Definition]] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = prefix + child.name
                found.setdefault(name, []).append(child)
                visit(child, name + (".<locals>." if not isinstance(child, ast.ClassDef) else "."))
            else:
                visit(child, prefix)

    visit(tree, "")
    return found


def first_line(node: Definition) -> int:
    """The line a code object of this definition begins at: that of its first decorator."""
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def without_decorators(node: Definition, drop: Callable[[ast.expr], bool]) -> Definition:
    """The definition without the decorators for which `drop` holds."""
    kept = [d for d in node.decorator_list if not drop(d)]
    if len(kept) == len(node.decorator_list):
        return node
    out = copy.copy(node)
    out.decorator_list = kept
    return out


@dataclass(frozen=True, slots=True)
class LocalImport:
    """An import inside a body: the local name, the module, and the name taken from it, if one."""

    name: str
    module: str
    attribute: str | None = None
    level: int = 0


@dataclass(frozen=True, slots=True)
class Names:
    """What a definition names that is not its own: dotted chains, imports in its body, and what cannot be followed."""

    chains: frozenset[tuple[str, ...]]
    imports: tuple[LocalImport, ...]
    problems: tuple[str, ...]


def names_of(node: Definition) -> Names:
    r"""The names a definition takes from around it, each with the attributes read off it.

    Annotations are left out: they do not run when the step runs. A local name that is global in
    another scope of the same definition counts as global: that costs a miss at most.

    Example:
        >>> tree = ast.parse("def f(x: T, k=K):\n    y = np.linalg.norm(x)\n    return y + g(k)")
        >>> sorted(names_of(tree.body[0]).chains)
        [('K',), ('g',), ('np', 'linalg', 'norm')]
    """
    bare = _without_annotations(node)
    outer = _global_names(bare)
    imports = tuple(_imports(bare))
    wanted = outer | {i.name for i in imports}
    chains = frozenset(c for c in _chains(bare) if c[0] in wanted)
    return Names(chains, imports, tuple(_problems(bare, outer)))


def _without_annotations(node: Definition) -> Definition:
    class Strip(ast.NodeTransformer):
        def visit_arg(self, arg: ast.arg) -> ast.AST:
            arg.annotation = None
            return arg

        def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:  # the name ast asks for
            self.generic_visit(node)
            if node.value is None:
                return ast.copy_location(ast.Pass(), node)
            return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:  # the name ast asks for
            node.returns = None
            return self.generic_visit(node)

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:  # the name ast asks for
            node.returns = None
            return self.generic_visit(node)

    out = Strip().visit(copy.deepcopy(node))
    assert isinstance(out, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return out


def _global_names(node: Definition) -> set[str]:
    module = ast.fix_missing_locations(ast.Module(body=[node], type_ignores=[]))
    top = symtable.symtable(ast.unparse(module), "<step>", "exec")
    names = {s.get_name() for s in top.get_symbols() if s.is_referenced()}

    def visit(table: symtable.SymbolTable) -> None:
        for symbol in table.get_symbols():
            if symbol.is_global():
                names.add(symbol.get_name())
        for child in table.get_children():
            visit(child)

    for child in top.get_children():
        visit(child)
    return names


def _imports(node: Definition) -> Iterator[LocalImport]:
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                root = alias.name if alias.asname else alias.name.partition(".")[0]
                yield LocalImport(alias.asname or root, root)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                yield LocalImport(alias.asname or alias.name, child.module or "", alias.name, child.level)


def _chain(node: ast.expr) -> tuple[str, ...] | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return (node.id, *reversed(parts))


def _chains(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """The longest dotted chain at every place; the shorter ones inside it are not repeated."""
    if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
        chain = _chain(node)
        if chain is not None:
            yield chain
            return
    for child in ast.iter_child_nodes(node):
        yield from _chains(child)


def _problems(node: ast.AST, outer: set[str]) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Global):
            yield "it writes the global " + ", ".join(repr(n) for n in child.names)
        if not isinstance(child, ast.Call):
            continue
        chain = _chain(child.func)
        if chain is None or chain[0] not in outer:
            continue
        if len(chain) == 1 and chain[0] in _DYNAMIC:
            yield f"it calls {chain[0]}(), whose code cannot be known before it runs"
        elif chain in _MODULE_LOADERS:
            yield "it imports a module by a name made at run time"
        elif chain in (("getattr",), ("setattr",)) and not _constant_name(child):
            yield f"it calls {chain[0]}() with a name made at run time"


def _constant_name(call: ast.Call) -> bool:
    return len(call.args) > 1 and isinstance(call.args[1], ast.Constant)
