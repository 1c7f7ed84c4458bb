"""Values and patterns of conformance scenarios (conformance/README.md)."""

from __future__ import annotations

import re
from typing import Any

Variables = dict[str, Any]

_VARIABLE = re.compile(r"\$\{(\w+)\}")
#: What a pattern is compared with where the frame has nothing.
MISSING: Any = object()


def fill(value: Any, variables: Variables) -> Any:
    """Fills in ``${name}`` and the generators. Raises ``KeyError`` for a variable that is not set."""
    if isinstance(value, str):
        whole = _VARIABLE.fullmatch(value)
        if whole:
            return variables[whole[1]]
        return _VARIABLE.sub(lambda found: _text(variables[found[1]]), value)
    if isinstance(value, list):
        return [fill(item, variables) for item in value]
    if not isinstance(value, dict):
        return value
    name, spec = _operator(value)
    if name == "$repeat":
        return fill(spec["text"], variables) * spec["times"]
    if name == "$list":
        return [fill(spec["item"], {**variables, "index": index}) for index in range(spec["times"])]
    if name == "$nest":
        nested: Any = {}
        for _ in range(1, spec["levels"]):
            nested = {"a": nested}
        return nested
    return {_text(fill(key, variables)): fill(item, variables) for key, item in value.items()}


def mismatch(pattern: Any, actual: Any, captured: Variables, path: str = "") -> str | None:
    """None when ``actual`` matches the filled-in pattern, else where and why not."""
    if isinstance(pattern, dict):
        name, spec = _operator(pattern)
        if name is not None:
            return _operate(name, spec, actual, captured, path)
        if not isinstance(actual, dict):
            return _differs(path, pattern, actual)
        return _first(
            mismatch(expected, actual.get(key, MISSING), captured, f"{path}.{key}") for key, expected in pattern.items()
        )
    if isinstance(pattern, list):
        if not isinstance(actual, list) or len(actual) != len(pattern):
            return _differs(path, pattern, actual)
        return _first(mismatch(item, actual[index], captured, f"{path}[{index}]") for index, item in enumerate(pattern))
    return None if _same(pattern, actual) else _differs(path, pattern, actual)


def _operate(name: str, spec: Any, actual: Any, captured: Variables, path: str) -> str | None:
    if name == "$absent":
        return None if actual is MISSING else _differs(path, {name: spec}, actual)
    if actual is MISSING:
        return _differs(path, {name: spec}, actual)
    if name == "$capture":
        variable, pattern = spec if isinstance(spec, list) else (spec, {"$any": True})
        fault = mismatch(pattern, actual, captured, path)
        if fault is None:
            captured[variable] = actual
        return fault
    return None if _holds(name, spec, actual) else _differs(path, {name: spec}, actual)


def _holds(name: str, spec: Any, actual: Any) -> bool:
    is_number = isinstance(actual, (int, float)) and not isinstance(actual, bool)
    if name == "$any":
        return True
    if name == "$type":
        return bool(spec == _type_of(actual) or (spec == "number" and is_number))
    if name == "$regex":
        return isinstance(actual, str) and re.fullmatch(spec, actual) is not None
    if name == "$in":
        return any(mismatch(item, actual, {}) is None for item in spec)
    if name == "$least":
        return is_number and bool(actual >= spec)
    if name == "$most":
        return is_number and bool(actual <= spec)
    if name == "$length":
        return isinstance(actual, (list, str)) and len(actual) == spec
    if name == "$exactly":
        return _equal(spec, actual)
    if name == "$not":
        return mismatch(spec, actual, {}) is not None
    if name == "$contains":
        return isinstance(actual, list) and all(any(mismatch(i, one, {}) is None for one in actual) for i in spec)
    raise ValueError(f"there is no operator {name}")


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return (
            isinstance(other, list)
            and len(one) == len(other)
            and all(_equal(a, b) for a, b in zip(one, other, strict=True))
        )
    if isinstance(one, dict):
        return (
            isinstance(other, dict) and one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
        )
    return _same(one, other)


def _same(one: Any, other: Any) -> bool:
    """Equality of scalars as JSON has it: true is not 1, and 1.0 is 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    return {float: "number", str: "string", list: "array", dict: "object"}[type(value)]


def _operator(value: dict[str, Any]) -> tuple[str | None, Any]:
    if len(value) == 1:
        name, spec = next(iter(value.items()))
        if name.startswith("$") and not name.startswith("${"):
            return name, spec
    return None, None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _first(faults: Any) -> str | None:
    return next((fault for fault in faults if fault is not None), None)


def _differs(path: str, pattern: Any, actual: Any) -> str:
    got = "nothing" if actual is MISSING else repr(actual)[:500]
    return f"at {path or 'the top'}: expected {pattern!r:.500}, got {got}"
