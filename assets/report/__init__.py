"""The day as a page that a person reads: figures from the lake, charts of them, one HTML file that needs no network.

Aggregates only, and blinded: what is here outlives an erasure, and is sent around.
"""
