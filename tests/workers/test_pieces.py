"""An upload whose pieces are sent to different servers."""

import hashlib
import os
from itertools import cycle, pairwise

from tests.http.test_resumable_uploads import begin, get_upload, send
from tests.support.packages import conda, index_json
from tests.workers.fleet import Fleet


def test_an_upload_can_continue_at_any_server(fleet: Fleet) -> None:
    """Workers have no local state: every server knows the offset of the upload."""
    owned = fleet.new_channel()
    file = conda(index_json("wandering"), files={"share/noise": os.urandom(1_200_000)})
    cuts = [*range(0, len(file.content), 300_000), len(file.content)]
    with fleet.clients(owned.key) as clients:
        location = begin(clients[0], owned.channel, owned.key, file).headers["location"]
        for http, (start, stop) in zip(cycle(reversed(clients)), pairwise(cuts), strict=False):
            response = send(http, location, owned.key, start, file.content[start:stop])
            assert str(stop) == response.headers["upload-offset"]
            assert {str(stop)} == {get_upload(each, location, owned.key).headers["upload-offset"] for each in clients}
        for http in clients:
            http.follow_redirects = True
            served = http.get(owned.path(f"noarch/{file.name}"))
            assert file.sha256 == hashlib.sha256(served.content).hexdigest()
    assert [] == fleet.broken()
