"""Statistics page of a channel: its contents, downloads and growth. All readers of the channel can see it."""

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.channels.channel import Channel
from seaway.database.engine import Tx
from seaway.http.parts import parts_of
from seaway.packages import channel_statistics
from seaway.packages.channel_statistics import ChannelStatistics
from seaway.packages.downloads import Split, day_of
from seaway.web import chart_choices, daily_chart
from seaway.web.channel_pages import read_for_caller, readable
from seaway.web.rendering import page

_SPLITS = (Split.PACKAGE, Split.SUBDIR, Split.CLIENT)


async def show(request: Request) -> Response:
    """Show the statistics of a channel."""
    today = day_of(parts_of(request).site.clock.now_ms())
    days, split = chart_choices.period_of(request), chart_choices.split_of(request, _SPLITS)

    def find(tx: Tx, by: Caller) -> tuple[Channel, ChannelStatistics]:
        channel, _ = readable(tx, by, request.path_params["channel"])
        return channel, channel_statistics.of_channel(tx, channel, today=today, days=days, split=split)

    channel, found = await read_for_caller(request, find)
    path = f"/channels/{channel.name}/statistics"
    return page(
        request,
        "channel_statistics.html",
        channel=channel,
        found=found,
        chart=daily_chart.draw_downloads(found.history),
        storage=daily_chart.draw_storage(found.storage, today, days),
        splits=chart_choices.split_choices(path, {}, _SPLITS, days, split),
        periods=chart_choices.period_choices(path, {}, days, split),
    )
