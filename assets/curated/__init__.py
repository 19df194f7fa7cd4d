"""The curated tables, one module each: a contract, a pure transform, and the `Curated` that binds them."""
