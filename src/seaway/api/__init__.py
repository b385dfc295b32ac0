"""APIs for clients, one module per protocol; they do not import each other."""
