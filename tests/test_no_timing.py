"""No test asserts a duration: tests count work instead, because a busy machine makes everything slow."""

import ast
from pathlib import Path

_TESTS = Path(__file__).parent
_CLOCKS = {
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
    "process_time_ns",
    "thread_time",
}


def durations(source: str) -> list[int]:
    """Return the lines that subtract one clock reading (or a name assigned from one) from another."""
    tree = ast.parse(source)
    readings = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_reading(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def is_of_clock(node: ast.expr) -> bool:
        return _is_reading(node) or (isinstance(node, ast.Name) and node.id in readings)

    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Sub)
        and is_of_clock(node.left)
        and is_of_clock(node.right)
    ]


def _is_reading(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    return (function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")) in _CLOCKS


def test_no_test_module_measures_a_duration() -> None:
    """Waiting until a deadline is allowed: it fails only if the event never happens."""
    found = {str(path.relative_to(_TESTS)): durations(path.read_text()) for path in _TESTS.rglob("*.py")}
    assert {} == {name: lines for name, lines in found.items() if lines}


def test_duration_is_detected() -> None:
    """The check finds subtractions of clock readings and ignores deadlines."""
    assert [2] == durations("began = time.monotonic()\nassert time.monotonic() - began < 5")
    assert [3] == durations("began = perf_counter()\nended = perf_counter()\ntook = ended - began")
    assert [] == durations("deadline = time.monotonic() + 5\nassert time.monotonic() < deadline")
