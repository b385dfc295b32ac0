"""
Bases of the models that the API, the pages and the commands share: each field is described once.

1. Unknown fields are refused, so that a misspelled field is never silently ignored.
2. A model of changes has the fields that were given (`model_fields_set`); all others stay unchanged.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from seaway.clock import format_time
from seaway.errors import Invalid

_MAX_PROBLEMS = 3
_SENTENCES = {
    "missing": "This field is required.",
    "extra_forbidden": "There is no such field.",
    "enum": "Choose {expected}.",
    "literal_error": "Choose {expected}.",
    "string_too_short": "Enter at least {min_length} characters.",
    "string_too_long": "Enter at most {max_length} characters.",
    "int_type": "Enter a whole number.",
    "int_parsing": "Enter a whole number.",
    "greater_than_equal": "Enter a number of at least {ge}.",
    "less_than_equal": "Enter a number of at most {le}.",
}


class InputModel(BaseModel):
    """Values from outside: from the body of a request, a form or the options of a command."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate the values of a form or a command; raise `Invalid`."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise invalid_fields(error.errors(), "Correct the value.") from None

    def described(self) -> dict[str, Any]:
        """Return the values as the API does."""
        return self.model_dump(mode="json", by_alias=True)


def invalid_fields(errors: Iterable[Mapping[str, Any]], hint: str) -> Invalid:
    """Return an error that names the first few invalid fields, never their values, which may be secrets."""
    sentences = [(_location(error["loc"]), _sentence(error)) for error in errors]
    message = " ".join(f"{location}: {sentence}" for location, sentence in sentences[:_MAX_PROBLEMS])
    return Invalid(message, hint, fields={location.partition(".")[0]: sentence for location, sentence in sentences})


def _sentence(error: Mapping[str, Any]) -> str:
    """Return what to enter instead, for the errors of pydantic that users see in forms."""
    limits = {name: str(value).replace("'", "") for name, value in error.get("ctx", {}).items()}
    if error["type"] == "string_too_short" and limits["min_length"] == "1":
        return _SENTENCES["missing"]
    own = _SENTENCES.get(error["type"])
    return own.format(**limits) if own else f"{str(error['msg']).removeprefix('Value error, ').rstrip('.')}."


def _location(loc: Iterable[str | int]) -> str:
    return ".".join(str(part)[:60] for part in loc if part != "body") or "request"


def without_defaults(schema: dict[str, Any]) -> None:
    """Remove the defaults from the JSON schema of a change or a response: its fields have none."""
    for field in schema["properties"].values():
        field.pop("default", None)


_MOMENT = Field(
    description="A time, ISO 8601 in UTC.",
    examples=["2026-11-24T09:30:00Z"],
    json_schema_extra={"format": "date-time"},
)
Moment = Annotated[str, _MOMENT]
# Stored in milliseconds.
MomentMs = Annotated[int, PlainSerializer(format_time, return_type=Moment)]
