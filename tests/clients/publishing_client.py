"""`rattler-build upload prefix` in a separate process, whose environment is that of a workflow."""

import json
import sys

from rattler_build import upload

if __name__ == "__main__":
    request = json.load(sys.stdin)
    try:
        upload.upload_package_to_prefix(
            request["paths"], request["url"], request["channel"], auth_file=request["auth_file"]
        )
    except Exception as error:  # noqa: BLE001 - its class is not public
        print(error)
        raise SystemExit(1) from None
