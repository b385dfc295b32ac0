"""The fields of a form for channel settings: shown by `settings/setting_fields.html`, validated as in the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from pydantic.fields import FieldInfo
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels import channels
from seaway.channels.channel import Channel, ChannelSettings, Label
from seaway.database.engine import Tx
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.indexing import relations
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, change
from seaway.web.user_pages import Report

_VALUES = {"true": True, "false": False, "public": True, "private": False}


@dataclass(frozen=True, slots=True)
class SettingField:
    """A setting in a form: a box, a list with `options`, or a text."""

    name: str
    label: Label
    info: FieldInfo

    @property
    def is_box(self) -> bool:
        """Whether the field is a box, which is checked unless the setting has its default."""
        return self.info.annotation is bool

    @property
    def options(self) -> list[tuple[str, str]]:
        """Values of a list, with their labels."""
        default = self.info.default
        return (
            [(choice.value, choice.value.capitalize()) for choice in type(default)] if isinstance(default, Enum) else []
        )

    @property
    def max_length(self) -> int | None:
        """Maximum number of characters of a text, if there is a limit."""
        return next((limit.max_length for limit in self.info.metadata if hasattr(limit, "max_length")), None)

    def is_fixed(self, value: object) -> bool:
        """Return whether the setting cannot be changed any more."""
        return self.label.is_permanent and value != self.info.default

    def values_in(self, form: Form) -> dict[str, Any]:
        """Return the value in a form, if there is one; an empty box cannot change a permanent setting back."""
        text = form.text(self.name).replace("\r\n", "\n")
        if not self.is_box:
            return {self.name: text}
        if form.is_set(self.name):
            return {self.name: _VALUES.get(text)}
        return {} if self.label.is_permanent else {self.name: self.info.default}


def fields_of(page: str) -> list[SettingField]:
    """Return the fields on a settings page."""
    return [
        SettingField(name, label, info)
        for name, info in ChannelSettings.model_fields.items()
        for label in info.metadata
        if isinstance(label, Label) and label.page == page
    ]


async def save(
    request: Request, call: RequestContext, section: SettingsPage, page: str, *, message: Report[Channel]
) -> Response:
    """Save the settings of a form."""
    form = await form_of(request)
    values = {name: value for field in fields_of(page) for name, value in field.values_in(form).items()}
    if "visibility" in form:
        values["public"] = _VALUES.get(form.text("visibility"))
    return await change(
        request,
        call,
        section,
        partial(_save, values),
        message=message,
        requires=partial(_require, values),
        typed_settings=form,
    )


def _require(values: Mapping[str, Any], tx: Tx, by: Caller, channel: str) -> None:
    channels.require_change(tx, by, channel, ChannelSettings.parse(values))


def _save(values: Mapping[str, Any], context: SettingsContext) -> Channel:
    settings = ChannelSettings.parse(values)
    return relations.change_settings(context.tx, context.parts.site, context.by, context.channel, settings)
