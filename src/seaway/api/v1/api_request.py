"""The context and the shared parameters of API routes."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query

from seaway.http.request_context import RequestContext, context_of

ApiRequestDep = Annotated[RequestContext, Depends(context_of)]

ChannelName = Annotated[str, Path(description="The name of a channel.", examples=["robots"], max_length=128)]
PackageName = Annotated[str, Path(description="The name of a package.", examples=["numpy"], max_length=64)]
Id = Annotated[int, Path(description="The `id` from a response.", ge=1, le=2**53)]
Limit = Annotated[int, Query(description="The maximum number of items in a response.", ge=1, le=100)]
After = Annotated[str, Query(description="`next` of the previous response; omit for the first page.", max_length=400)]
SearchText = Annotated[
    str, Query(description="Search words; items must contain all of them. Omit for all.", max_length=200)
]
DEFAULT_LIMIT = 50

# For routes that also work without a credential.
ANONYMOUS_ALLOWED: dict[str, Any] = {"security": [{}, {"key": []}, {"session": []}]}
