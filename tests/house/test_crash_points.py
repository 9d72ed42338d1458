"""Each crash point is killed by some test: a point that nobody dies at proves nothing."""

from __future__ import annotations

import ast

from tests.house.source import ROOT, modules


def registered() -> dict[str, str]:
    """Every crash point the source registers, with the module that does."""
    points = {}
    for name, _, tree in modules():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "register"
                and len(node.args) == 2
                and isinstance(node.args[0], ast.Constant)
            ):
                points[str(node.args[0].value)] = name
    return points


def test_every_crash_point_is_killed() -> None:
    tests = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))
    points = registered()
    assert len(points) > 40
    # constants of a room (`runs.STARTED`) name a point as well as its text does
    assert {p: where for p, where in points.items() if not named(p, where, tests)} == {}


def named(point: str, module: str, tests: str) -> bool:
    """Whether a test names the point, by its text or by the constant its module gives it."""
    if f'"{point}' in tests:
        return True
    tree = next(tree for name, _, tree in modules() if name == module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            args = node.value.args
            if args and isinstance(args[0], ast.Constant) and args[0].value == point:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                return isinstance(target, ast.Name) and target.id in tests
    return False
