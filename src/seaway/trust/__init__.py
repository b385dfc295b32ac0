"""Why a workflow elsewhere is believed: issuers, publishers, the exchange of tokens, attestations."""
