"""
Match specs that rattler reads but conda or mamba does not read, or reads differently.

The tables record the results of conda 26.7 (`MatchSpec`) and mamba 2.8 (`MatchSpec::parse`), run from their sources.
"""

from pathlib import Path

import pytest
import rattler

from seaway.conda.match_specs import is_portable
from tests.support.hostile import examine_file
from tests.support.packages import conda, index_json

PORTABLE = [
    "python", "Python", "_r-mutex 1.*", "foo-bar.baz_", "__cuda", "__glibc >=2.17,<3.0.a0", "python 3.8", "python 3.8.*",
    "python 3.8*", "python =3.8", "python = 3.8", "python=3.8", "python==3.8", "python>=3.8", "python >= 3.8", "python  >=3.8",
    "python >=3.8,<4.0a0", "python >=3.8, <4", "python ~=3.8.1,!=3.8.3", "python !=3.8.*", "python >=3.8.*",
    "python 3.8.*|3.9.*", "python >=2.0,<3|>=4", "python >1,2", "python *", "python=*", "python >=1.0RC1", "python 1.0a",
    "python >=1!2.0", "python >=1.0-2", "python >=1.0_", "python >=1.0.dev0+abc", "foo 5.4_22Jul22.46e", "foo 1.0+cu*",
    "python * *_cpython", "python >=3.8 *_cpython", "python >=3.8=*_cpython", "python 3.8 h1_0", "python 3.8 =h1_0",
    "python=3.8=h1_0", "python =3.8=h1_0", "python ==3.8 h1_0", "foo >=1.2 ^py.*$", "foo=*=*mkl", "foo >=1.0,<2 cuda*",
    "python[version='>=3.8']", 'python[version=">=3.8,<4",build=*_cpython]', "python[version=>=3.8]",
    "python >=3.8 [build='*_cpython']", "foo[build='^(?:py27|py38)$']", "python[build_number='>=3']", "python[license=MIT]",
    "conda-forge::python >=3.8", "conda-forge/linux-64::python", "foo >=1.0 # comment", "foo >=1.0 ",
]  # fmt: skip

# Each spec with the result of the client that reads it differently from rattler.
NOT_PORTABLE = {
    "pandas (>=1.4,<1.5)|>=2.2": "conda: invalid version",
    "pandas >=2.2|(>=1.4,<1.5)": "conda and mamba: invalid version",
    "pandas >=1.4,(<1.5|>2)": "conda and mamba: invalid version",
    "pandas ((1.2|1.3),<2)|3": "conda: invalid version",
    "pandas (>=1.4,<1.5)": "conda and mamba: any version",
    "pandas (1.0)": "conda and mamba: any version",
    "python ~=3.8.*": "conda: invalid operator",
    " python >=3.8": "conda: no package name",
    "python >1.0 | <0.5": "mamba: invalid version",
    "python >=3.8 , <4": "mamba: the build string ,<4",
    "python >=3.8,  3.9": "conda: invalid version",
    "python >=3.8, =3.9": "conda: invalid version",
    "python >=3.8 <4": "conda: invalid version",
    "python >=3.8<4": "conda and mamba: invalid version",
    "python =3.8 h1_0": "mamba: the build string 3.8 h1_0",
    "python 3.8 build other": "mamba: invalid version",
    "python >=3.8;foo": "conda and mamba: invalid version",
    "python >=3.8#comment": "mamba: invalid version",
    "python PY27": "mamba: invalid version",
    "python 1.0+1+2": "conda and mamba: invalid version",
    "python 1.0!2": "conda and mamba: invalid version",
    "python 1_.*": "mamba: invalid version",
    "python[version= 3.8]": "conda: no value",
    "python[build_number===3]": "mamba: invalid operator",
    "___x 1.0": "conda: invalid package name",
    "foo--bar 1.0": "conda: invalid package name",
    "python if __unix": "conda: any version",
}


def test_a_spec_that_every_client_reads_is_portable() -> None:
    """A spec that all three clients read alike gives no warning."""
    assert [] == [spec for spec in PORTABLE if not is_portable(spec)]


@pytest.mark.parametrize("spec", NOT_PORTABLE)
def test_a_spec_that_only_rattler_reads_is_not_portable(spec: str) -> None:
    """rattler reads the spec, so it is accepted; conda or mamba does not read it."""
    rattler.MatchSpec(spec)
    assert not is_portable(spec)


@pytest.mark.parametrize(
    "spec", ["foo[extras=[a]]", "foo[flags=[cuda]]", 'foo[when="__unix"]', 'foo (>=1)[when="__unix"]']
)
def test_a_spec_that_needs_v3_is_portable(spec: str) -> None:
    """It is never in the maps that older clients read, and is rewritten for clients that know v3."""
    assert is_portable(spec)


@pytest.mark.parametrize("field", ["depends", "constrains"])
def test_a_package_with_an_unportable_spec_is_accepted_with_a_warning(field: str, tmp_path: Path) -> None:
    """The warning names the spec and its field; the record keeps the spec unchanged."""
    spec = "pandas (>=1.4,<1.5)|>=2.2"
    candidate = examine_file(conda(index_json(**{field: ["python >=3.8", spec]})), tmp_path)
    (warning,) = candidate.warnings
    assert f"'{spec}' in {field}" in warning
    assert candidate.record[field] == ["python >=3.8", spec]


@pytest.mark.parametrize("kind", ["weak", "strong", "noarch", "weak_constrains", "strong_constrains"])
def test_run_exports_are_checked_too(kind: str, tmp_path: Path) -> None:
    """Every kind of run exports becomes a dependency of other packages."""
    exports = {kind: ["a (>=1)", "b (>=1)", "c (>=1)", "d (>=1)"]}
    (warning,) = examine_file(conda(index_json(), run_exports=exports), tmp_path).warnings
    assert warning.count(f"in {kind} of run_exports") == 3
    assert "and others" in warning


@pytest.mark.parametrize("end", ["", "(", " | "])
@pytest.mark.parametrize("part", ["1.", ",  1", "=", "1 ", "*", "a=", "1_", "+1", "1-", ", ", " "])
def test_checking_a_long_spec_takes_linear_time(part: str, end: str) -> None:
    """A regular expression with catastrophic backtracking would never return for these specs."""
    is_portable("foo " + part * 400 + end)
    is_portable("foo[" + part * 400 + end + "]")
