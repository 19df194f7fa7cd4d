"""A real trial to try the lakehouse on: the CDISC pilot study, landed as its sites would have exported it.

`land` writes the files; `defects` holds the fictional site that gets things wrong. Nothing here knows what becomes of a
file afterwards, and no source imports this: with other data in the landing folder the package has no part.
"""
