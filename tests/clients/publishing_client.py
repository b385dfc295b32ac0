"""`rattler-build upload prefix` in a workflow: a process of its own, whose environment says that it is one."""

import json
import sys

from rattler_build import upload

if __name__ == "__main__":
    order = json.load(sys.stdin)
    try:
        upload.upload_package_to_prefix(order["paths"], order["url"], order["channel"], auth_file=order["auth_file"])
    except Exception as error:  # noqa: BLE001 - its class is not public
        print(error)
        raise SystemExit(1) from None
