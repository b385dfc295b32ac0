"""Workflow snippets for a host and a channel, used by the pages and the manual."""

import re
from string import Template
from textwrap import indent

_BUILD = "pixi exec rattler-build build --recipe recipe.yaml"
_UPLOAD = """\
pixi exec rattler-build upload prefix \\
  --url $url \\
  --channel $channel \\
  output/*/*.conda"""

_GITHUB = Template(f"""\
# .github/workflows/$file
name: Publish
on:
  push:
    tags: ["v*"]
permissions:
  contents: read
  id-token: write
jobs:
  publish:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: prefix-dev/setup-pixi@v0.8.1
        with:
          run-install: false
      - run: {_BUILD}
      - run: |
{indent(_UPLOAD, " " * 10)}
""")

_GITLAB = Template(f"""\
# $file
publish:
  image: ghcr.io/prefix-dev/pixi:latest
  rules:
    - if: $$CI_COMMIT_TAG
  id_tokens:
    $variable:
      aud: $audience
  script:
    - {_BUILD}
    - |
{indent(_UPLOAD, " " * 6)}
""")

# No client requests the token from Google yet, so the snippet does it with curl.
_GOOGLE = Template(f"""\
METADATA=http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default
TOKEN=$$(curl -sSf -H "Metadata-Flavor: Google" "$$METADATA/identity?audience=$audience&format=full")
PREFIX_API_KEY=$$(curl -sSf -H "Content-Type: application/json" -d "{{\\"token\\":\\"$$TOKEN\\"}}" $url/api/oidc/mint_token)
export PREFIX_API_KEY
{_UPLOAD}
""")


def github(site_url: str, audience: str, channel: str, *, file: str = "publish.yml") -> str:
    """Return a GitHub Actions workflow."""
    return _fill(_GITHUB, site_url, audience, channel, file)


def gitlab(site_url: str, audience: str, channel: str, *, file: str = ".gitlab-ci.yml") -> str:
    """Return a GitLab CI/CD job that sets the variable in which clients look for its token."""
    return _fill(_GITLAB, site_url, audience, channel, file)


def google(site_url: str, audience: str, channel: str) -> str:
    """Return shell commands for a machine or a build on Google Cloud."""
    return _fill(_GOOGLE, site_url, audience, channel, "")


def token_variable(audience: str) -> str:
    """Return the name of the variable in which clients look for the token of a GitLab job."""
    return re.sub(r"[^A-Z0-9]", "_", audience.upper()) + "_ID_TOKEN"


def _fill(template: Template, site_url: str, audience: str, channel: str, file: str) -> str:
    return template.substitute(
        url=site_url, audience=audience, channel=channel, file=file, variable=token_variable(audience)
    )
