"""What this lakehouse holds: one module per source, the curated tables, and the wiring that makes assets of them."""
