"""An upload whose pieces come to different servers."""

import hashlib
import os
from itertools import cycle, pairwise

from tests.http.test_uploads import begin, look, send
from tests.support.packages import conda, index_json
from tests.workers.fleet import Fleet


def test_an_upload_goes_on_at_any_server(fleet: Fleet) -> None:
    """No worker has state of its own: each piece may come to another one, which knows how far the upload is."""
    owned = fleet.new_channel()
    file = conda(index_json("wandering"), files={"share/noise": os.urandom(1_200_000)})
    cuts = [*range(0, len(file.content), 300_000), len(file.content)]
    with fleet.clients(owned.key) as clients:
        location = begin(clients[0], owned.channel, owned.key, file).headers["location"]
        for http, (start, stop) in zip(cycle(reversed(clients)), pairwise(cuts), strict=False):
            answer = send(http, location, owned.key, start, file.content[start:stop])
            assert str(stop) == answer.headers["upload-offset"]
            assert {str(stop)} == {look(each, location, owned.key).headers["upload-offset"] for each in clients}
        for http in clients:
            http.follow_redirects = True
            served = http.get(owned.path(f"noarch/{file.name}"))
            assert file.sha256 == hashlib.sha256(served.content).hexdigest()
    assert [] == fleet.broken()
