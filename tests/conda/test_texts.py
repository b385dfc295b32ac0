"""No control character in package metadata reaches a record, in known or unknown fields."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seaway.conda.refusals import RefusalReason, Refused
from tests.support import packages
from tests.support.hostile import CONDA, CONTROLS, examine_file
from tests.support.packages import index_json

TEXTS = [
    "name", "version", "build", "subdir", "noarch", "license", "license_family", "arch", "platform", "features",
    "track_features", "preferred_env", "python_site_packages_path", "icon", "timestamp", "namespace", "colour",
]  # fmt: skip
LISTS = ["depends", "constrains", "purls", "flags", "requires", "features", "track_features", "colour"]
REASONS = {"name": RefusalReason.BAD_PACKAGE_NAME, "version": RefusalReason.BAD_VERSION, "build": RefusalReason.BAD_BUILD_STRING,
           "subdir": RefusalReason.UNKNOWN_SUBDIR}  # fmt: skip

bounded = settings(
    max_examples=60,
    deadline=timedelta(seconds=5),
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
with_control = st.builds(
    lambda before, char, after: before + char + after,
    st.text("ab >=1", max_size=4),
    st.sampled_from(CONTROLS),
    st.text("ab >=1", max_size=4),
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Wrap a text in lists and objects."""
    return st.lists(inner, min_size=1, max_size=2) | st.builds(lambda value: {"key": value}, inner)


@pytest.mark.parametrize("field", TEXTS)
@bounded
@given(text=with_control)
@example(text="a\tb")
@example(text="a\n")
def test_a_control_character_in_a_field_is_refused(field: str, text: str, tmp_path: Path) -> None:
    """Tabs and line feeds are control characters too; the refusal reason is that of the field."""
    with pytest.raises(Refused) as refused:
        examine_file(packages.conda(index_json(**{field: text}), file_name=CONDA), tmp_path)
    assert REASONS.get(field, RefusalReason.BAD_FIELD) is refused.value.reason


@pytest.mark.parametrize("field", LISTS)
@bounded
@given(text=with_control)
@example(text="python\t>=3")
@example(text="python\n")
def test_a_control_character_in_a_list_is_refused(field: str, text: str, tmp_path: Path) -> None:
    """Refused before rattler parses the spec, since rattler accepts any whitespace as a blank."""
    with pytest.raises(Refused) as refused:
        examine_file(packages.conda(index_json(**{field: ["a", text]})), tmp_path)
    assert RefusalReason.BAD_FIELD is refused.value.reason


@bounded
@given(value=st.recursive(with_control | st.builds(lambda key: {key: 1}, with_control), nested, max_leaves=4))
def test_a_nested_control_character_is_found(value: Any, tmp_path: Path) -> None:
    """Unknown fields are served unchanged, so all their texts and keys are checked."""
    with pytest.raises(Refused) as refused:
        examine_file(packages.conda(index_json(colour=value)), tmp_path)
    assert RefusalReason.BAD_FIELD is refused.value.reason


@bounded
@given(text=with_control, kind=st.sampled_from(["weak", "strong", "noarch", "weak_constrains", "strong_constrains"]))
def test_a_control_character_in_run_exports_is_refused(text: str, kind: str, tmp_path: Path) -> None:
    """Run exports are copied into the depends of other packages."""
    with pytest.raises(Refused) as refused:
        examine_file(packages.conda(index_json(), run_exports={kind: ["a", text]}), tmp_path)
    assert RefusalReason.BAD_FIELD is refused.value.reason


@bounded
@given(text=st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20))
@example(text="\u202ea\u200b")
def test_other_texts_are_served_unchanged(text: str, tmp_path: Path) -> None:
    """Includes letters of any language and directional characters; only pages remove those."""
    file = packages.conda(index_json(license=text, colour={text: [text]}))
    record = examine_file(file, tmp_path).record
    assert (text, {text: [text]}) == (record["license"], record["colour"])
    assert not set(json.dumps(record, ensure_ascii=False)) & set(CONTROLS)
