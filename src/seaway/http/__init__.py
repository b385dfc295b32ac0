"""What all faces share of HTTP: credentials in, answers and problems out."""
