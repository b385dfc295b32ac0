"""HTTP code shared by the API and the pages: credentials, forms, responses, errors."""
